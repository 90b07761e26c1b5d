"""Numba kernels: arrays in, arrays out. No MPI, no files, no classes."""
