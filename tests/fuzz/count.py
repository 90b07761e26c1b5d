"""How many inputs of a kind, and from which seed.

BATCHGNN_FUZZ is the number of inputs of all kinds together, BATCHGNN_FUZZ_SEED their seed.
"""

import os

from fuzz.kinds import KINDS

SHARES = {"checkpoint": 1, "run folder": 1, "options": 1}
"Of kinds whose inputs are trained on: the others, which are quick, have OTHERS."
OTHERS = 3
ALL_SHARES = sum(SHARES.get(kind, OTHERS) for kind in (*KINDS, "options", "slurm"))

SEED = int(os.environ.get("BATCHGNN_FUZZ_SEED", 1))


def few(kind: str) -> int:
    """Inputs of a kind in every run of the tests."""
    return _of(kind, 300)


def many(kind: str) -> int:
    """Inputs of a kind in the slow run."""
    return _of(kind, 5000)


def _of(kind: str, most: int) -> int:
    total = int(os.environ.get("BATCHGNN_FUZZ", most))
    return -(-total * SHARES.get(kind, OTHERS) // ALL_SHARES)
