"""Layers as forward and backward pairs, losses, parameters and optimisers. No MPI, no files."""
