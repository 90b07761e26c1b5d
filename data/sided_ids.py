"""Ids of two sides, users and items, that count each for itself: `source:3` is not `target:3`."""

from collections.abc import Iterator

import numpy as np

from batchgnn.data.ids import NAME_CHUNK, Ids, ids_of_edges
from batchgnn.data.tables import Table, TableChunk

SIDES = ("source", "target")


class SidedIds:
    """The sources' vertices first, then the targets'; their names tell the side."""

    def __init__(self, table: Table, columns: tuple[int, int]):
        """Read both columns; columns: (source, target)."""
        self.columns = columns
        self.sides: list[Ids] = [ids_of_edges(table, (column,)) for column in columns]
        self.first = [0, self.sides[0].num_vertices]
        self.num_vertices = sum(side.num_vertices for side in self.sides)
        longest = max((part.itemsize for part in self.names()), default=1)
        self.name_dtype = np.dtype(f"S{longest}")

    def rows(self, chunk: TableChunk, column: int, table: Table) -> np.ndarray:
        """int64 (k,): rows of the ids in one of the two columns."""
        side = self.columns.index(column)
        return self.first[side] + self.sides[side].rows(chunk, column, table)

    def names(self) -> Iterator[np.ndarray]:
        """Bytes (k,), in the order of rows, in chunks."""
        for side, ids in zip(SIDES, self.sides, strict=True):
            for part in _names_of(ids):
                yield np.char.add(f"{side}:".encode(), part.astype("S"))


def _names_of(ids: Ids) -> Iterator[np.ndarray]:
    if ids.name_dtype is not None:
        yield from ids.names()
        return
    for begin in range(0, ids.num_vertices, NAME_CHUNK):
        yield np.arange(begin, min(begin + NAME_CHUNK, ids.num_vertices))
