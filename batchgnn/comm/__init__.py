"""Communication: the only folder that imports mpi4py."""
