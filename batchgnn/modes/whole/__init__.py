"""Whole-graph training, and mode fullgraph."""
