"""Arcs on their way to the shard that keeps them: one raw file per shard, filled in chunks.

Memory is bounded by one chunk while arcs are added, and by one shard's arcs while they are read.
"""

from pathlib import Path

import numpy as np


class Spill:
    """Arcs bucketed by the shard that owns their row (the target of an in-arc)."""

    def __init__(self, folder: Path, offset: np.ndarray, id_dtype: np.dtype, weighted: bool):
        """`folder` is created; offset int64 (K + 1,)."""
        folder.mkdir()
        self.folder, self.offset = folder, offset
        self.count = np.zeros(len(offset) - 1, np.int64)
        columns = [("row", id_dtype), ("other", id_dtype)]
        self.weighted = weighted
        self.record = np.dtype([*columns, ("weight", np.float32)] if weighted else columns)

    def add(self, row: np.ndarray, other: np.ndarray, weight: np.ndarray | None) -> None:
        """Append arcs: row and other are shard-store ids; the order within a shard is kept."""
        shard = np.searchsorted(self.offset, row, "right") - 1
        order = np.argsort(
            shard.astype(np.uint16 if len(self.count) < 2**16 else np.int64), kind="stable"
        )
        records = np.empty(len(row), self.record)
        records["row"], records["other"] = row[order], other[order]
        if weight is not None:
            records["weight"] = weight[order]
        count = np.bincount(shard, minlength=len(self.count))
        ends = np.cumsum(count)
        for s in np.flatnonzero(count).tolist():
            with self._path(s).open("ab") as file:
                file.write(records[ends[s] - count[s] : ends[s]].data)
        self.count += count

    def take(self, s: int) -> np.ndarray:
        """Records of shard s in the order of their arrival; its file is removed."""
        if not self.count[s]:
            return np.empty(0, self.record)
        records = np.fromfile(self._path(s), self.record)
        self._path(s).unlink()
        return records

    def _path(self, s: int) -> Path:
        return self.folder / f"{s}.raw"


def csr_of(
    spill: Spill, s: int, n: int, num_vertices: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Arcs of shard s -> (indptr int64 (n + 1,), indices, weight or None), ascending in a row.

    The shard has n vertices. Equal arcs stay in the order of their arrival.
    """
    first, shift = int(spill.offset[s]), max(num_vertices - 1, 1).bit_length()
    if spill.weighted or shift + n.bit_length() > 64:
        return _sort_with_order(spill.take(s), first, n, spill.weighted)
    # A row and its neighbour fit one integer: sorting these in place needs no permutation.
    records = spill.take(s)
    key = records["row"].astype(np.uint64)
    key -= np.uint64(first)
    key <<= np.uint64(shift)
    key |= records["other"]
    del records
    key.sort()
    indices = (key & np.uint64((1 << shift) - 1)).astype(spill.record["other"])
    key >>= np.uint64(shift)
    return _starts(key.view(np.int64), n), indices, None


def _sort_with_order(
    records: np.ndarray, first: int, n: int, weighted: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """`csr_of` by a permutation: for weights, and for ids that do not fit one integer in pairs."""
    order = np.lexsort((records["other"], records["row"]))
    row = records["row"].astype(np.int64)
    row -= first
    weight = records["weight"][order] if weighted else None
    return _starts(row, n), records["other"][order], weight


def _starts(row: np.ndarray, n: int) -> np.ndarray:
    """int64 (n + 1,): where each row's arcs begin, from the row of each arc (int64)."""
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=n), out=indptr[1:])
    return indptr
