"""Files: the only folder that imports h5py."""
