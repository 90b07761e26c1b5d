"""Graphs as frozen dataclasses of arrays."""
