"""`--one-hot`: a column of text or numbers as a column of 0 and 1 for each value that it has."""

from collections.abc import Sequence

import numpy as np

from batchgnn.base.errors import DataError
from batchgnn.data.classes import NO_NUMBER, is_none
from batchgnn.data.headers import is_number
from batchgnn.data.id_sets import distinct
from batchgnn.data.tables import Table, TableChunk

MOST_VALUES = 1000
"More values than this are ids, or numbers."


class OneHot:
    """The values of some columns of a table, numbers by size, else texts in sorted order.

    values  column -> value -> its place
    """

    def __init__(self, table: Table, columns: Sequence[int]):
        """Read the columns; raises DataError for one with too many values."""
        found: dict[int, set[str]] = {column: set() for column in columns}
        for chunk in table.chunks(columns) if columns else ():
            for column, values in found.items():
                texts, _ = distinct(chunk.cells(column))
                values.update(cell for cell in texts if not is_none(cell, NO_NUMBER))
                if len(values) > MOST_VALUES:
                    raise DataError(
                        f"{table.path}, column {table.columns[column]}: more than {MOST_VALUES:,} "
                        "different values, which --one-hot would make as many features. Leave it "
                        "out, or take another column"
                    )
        self.values = {
            column: {value: i for i, value in enumerate(in_order(values))}
            for column, values in found.items()
        }

    def rows(self, chunk: TableChunk, column: int) -> np.ndarray:
        """float64 (k, values of the column): 1 at the value of a cell; an empty cell has none."""
        place = self.values[column]
        texts, which = distinct(chunk.cells(column))
        at = np.array([place.get(cell, -1) for cell in texts], np.int64)[which]
        return (at[:, None] == np.arange(len(place))).astype(np.float64)


def in_order(values: set[str]) -> list[str]:
    """Numbers by their size, where all are numbers; else texts in sorted order."""
    if all(map(is_number, values)):
        return sorted(values, key=lambda value: (float(value), value))
    return sorted(values)
