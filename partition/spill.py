"""Arcs on their way to the shard that keeps them: one raw file per shard, filled in chunks.

Memory is bounded by one chunk while arcs are added, and by one shard's arcs while they are read.
"""

from pathlib import Path

import numpy as np


class Spill:
    """Arcs bucketed by the shard that owns their row (the target of an in-arc)."""

    def __init__(
        self, folder: Path, offset: np.ndarray, id_dtype: np.dtype, beside: np.dtype | None = None
    ):
        """`folder` is created; offset int64 (K + 1,).

        beside: dtype of what an arc carries, float32 weights or int64 events; None: nothing
        """
        folder.mkdir()
        self.folder, self.offset = folder, offset
        self.count = np.zeros(len(offset) - 1, np.int64)
        columns = [("row", id_dtype), ("other", id_dtype)]
        self.beside = beside
        self.record = np.dtype(columns if beside is None else [*columns, ("beside", beside)])

    @property
    def by_event(self) -> bool:
        """Whether a row's arcs are in the order of events, not of neighbours."""
        return self.beside == np.int64

    def add(self, row: np.ndarray, other: np.ndarray, beside: np.ndarray | None) -> None:
        """Append arcs: row and other are shard-store ids; the order within a shard is kept."""
        shard = np.searchsorted(self.offset, row, "right") - 1
        order = np.argsort(
            shard.astype(np.uint16 if len(self.count) < 2**16 else np.int64), kind="stable"
        )
        records = np.empty(len(row), self.record)
        records["row"], records["other"] = row[order], other[order]
        if beside is not None:
            records["beside"] = beside[order]
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
    """Arcs of shard s -> (indptr int64 (n + 1,), indices, weight, event or None).

    The shard has n vertices. A row's arcs ascend by neighbour, equal ones in the order of their
    arrival; those of events by event.
    """
    first, shift = int(spill.offset[s]), max(num_vertices - 1, 1).bit_length()
    if spill.beside is not None or shift + n.bit_length() > 64:
        return _sort_with_order(spill.take(s), first, n, spill)
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
    records: np.ndarray, first: int, n: int, spill: Spill
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """`csr_of` by a permutation: where arcs carry something, or ids do not fit one integer."""
    order = np.lexsort((records["beside" if spill.by_event else "other"], records["row"]))
    row = records["row"].astype(np.int64)
    row -= first
    beside = None if spill.beside is None else records["beside"][order]
    return _starts(row, n), records["other"][order], beside


def _starts(row: np.ndarray, n: int) -> np.ndarray:
    """int64 (n + 1,): where each row's arcs begin, from the row of each arc (int64)."""
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=n), out=indptr[1:])
    return indptr
