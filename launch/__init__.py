"""Ranks started by mpirun."""
