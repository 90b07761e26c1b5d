"""The kinds of inputs, by name."""

import random

from fuzz import archives, runs, stores, tables
from fuzz.oracle import Maker

KINDS: dict[str, Maker] = {
    "csv": tables.csv_case,
    "parquet": tables.parquet_case,
    "npz": archives.npz_case,
    "ogb": archives.ogb_case,
    "graph store": stores.graph_case,
    "shards": stores.shards_case,
    "checkpoint": stores.checkpoint_case,
    "run folder": runs.run_case,
    "jobs": runs.jobs_case,
}


def draws(kind: str, seed: int, number: int) -> random.Random:
    """The draws of an input: it can be made again alone."""
    return random.Random(f"{kind} {seed} {number}")
