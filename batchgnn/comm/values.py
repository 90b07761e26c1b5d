"""Small values that ranks tell each other, as JSON.

mpi4py's own methods for objects send pickles, and reading a pickle runs what is in it: a process
that got hold of a port of MPI's could then run anything as this user.
"""

import json
from typing import Any

import numpy as np

from batchgnn.base.parse import parse_json
from batchgnn.comm.mpi import MPI


def values_of_all(comm: MPI.Comm, value: Any) -> list[Any]:
    """The value of every rank, on every rank; None costs no second message. Collective.

    value: what JSON can write; tuples become lists
    """
    mine = encode(value)
    sizes = np.empty(comm.size, np.int64)
    comm.Allgather(np.array([len(mine)], np.int64), sizes)
    everything = np.empty(sizes.sum(), np.uint8)
    if len(everything):
        comm.Allgatherv(mine, [everything, sizes])
    return _parts(everything, sizes)


def values_at_first(comm: MPI.Comm, value: Any) -> list[Any] | None:
    """The value of every rank, on the first; None on the others. Collective."""
    mine = encode(value)
    sizes = np.empty(comm.size, np.int64)
    comm.Allgather(np.array([len(mine)], np.int64), sizes)
    everything = np.empty(sizes.sum() if comm.rank == 0 else 0, np.uint8)
    comm.Gatherv(mine, [everything, sizes] if comm.rank == 0 else None)
    return _parts(everything, sizes) if comm.rank == 0 else None


def encode(value: Any) -> np.ndarray:
    """A value as bytes, uint8 (n,): none for None."""
    text = b"" if value is None else json.dumps(value).encode()
    return np.frombuffer(text, np.uint8)


def decode(part: np.ndarray) -> Any:
    """What `encode` was given."""
    return parse_json(part.tobytes()) if len(part) else None


def _parts(everything: np.ndarray, sizes: np.ndarray) -> list[Any]:
    return [decode(part) for part in np.split(everything, np.cumsum(sizes)[:-1])]
