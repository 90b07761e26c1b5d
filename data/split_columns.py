"""The split of a vertex table: one column of words or numbers, or three columns of 0 and 1."""

from collections.abc import Collection, Sequence

import numpy as np

from batchgnn.base.errors import ConfigError, DataError
from batchgnn.data.checks import Origin
from batchgnn.data.convert import split_of_masks
from batchgnn.data.edge_options import EdgeListOptions
from batchgnn.data.headers import SPLIT_NAMES, find_column, is_number, part_of
from batchgnn.data.id_sets import distinct
from batchgnn.data.tables import Table, TableChunk
from batchgnn.store.graph_writer import NONE, TEST, TRAIN, VALIDATION
from batchgnn.store.seeds import SPLITS

WORDS = {"train": TRAIN, "training": TRAIN, "val": VALIDATION, "valid": VALIDATION}
WORDS |= {"validation": VALIDATION, "dev": VALIDATION, "test": TEST, "testing": TEST}
WORDS |= {"none": NONE, "": NONE, "nan": NONE, "na": NONE, "null": NONE, "unused": NONE}
DIGITS = {"0": NONE, "1": TRAIN, "2": VALIDATION, "3": TEST}
TRUE, FALSE = ("1", "true", "yes", "t", "y"), ("0", "false", "no", "f", "n", "")


class SplitColumns:
    """Where a vertex table says which part a vertex is in.

    columns   positions: none, one with words, or three masks
    left_out  positions of masks that a random split replaces
    """

    def __init__(self, table: Table, options: EdgeListOptions, taken: Collection[int]):
        """Find the columns; raises DataError where there are too many or too few.

        taken  positions of columns that are something else
        """
        self.table, self.values, self.asked = table, options.split_values, options.split
        self.seen: set[str] = set()
        column = find_column(
            table.path, table.columns, options.split_column, SPLIT_NAMES, "--split-column"
        )
        chosen = {*taken, *(i for i, name in enumerate(table.columns) if name in options.features)}
        masks = self._masks(chosen) if options.split_column is None else {}
        self.left_out: tuple[int, ...] = ()
        self.columns: tuple[int, ...] = () if column is None else (column,)
        if masks and options.split is not None:
            self.left_out = tuple(i for found in masks.values() for i in found)
        elif masks and column is not None:
            names = ", ".join(table.columns[i] for found in masks.values() for i in found)
            raise self._refusal(f"the columns {table.columns[column]} and {names} all say it")
        elif masks:
            if any(len(masks.get(part, ())) != 1 for part in SPLITS):
                names = ", ".join(table.columns[i] for found in masks.values() for i in found)
                raise self._refusal(f"needed one column for each of train, val and test: {names}")
            self.columns = tuple(masks[part][0] for part in SPLITS)
        if self.values is not None and len(self.columns) != 1:
            raise ConfigError(
                f"--split-values: {table.path} has no column split. Name it: --split-column COLUMN"
            )

    def _masks(self, taken: Collection[int]) -> dict[str, list[int]]:
        """Columns that are named as masks, by part."""
        found: dict[str, list[int]] = {}
        for i, name in enumerate(self.table.columns):
            part = part_of(name) if i not in taken else None
            if part is not None and self._is_mask(i):
                found.setdefault(part, []).append(i)
        return found

    def _is_mask(self, column: int) -> bool:
        rows = [row for row in self.table.sample if len(row) > column]
        return all(row[column].lower() in _both() or is_number(row[column]) for row in rows)

    def _refusal(self, found: str) -> DataError:
        return DataError(
            f"{self.table.path}: which column is the split? {found}. Name one: --split-column "
            f"COLUMN, or draw it: --split 0.6 0.2 0.2; or name the columns that are --features"
        )

    def refuse_parts_among(self, features: Sequence[int]) -> None:
        """Raise DataError when a column that would be a feature is named as a part of a split."""
        names = [self.table.columns[i] for i in features if part_of(self.table.columns[i])]
        if names:
            raise self._refusal(f"{', '.join(names)} would be features")

    def said(self) -> str:
        """What the report says."""
        names = ", ".join(self.table.columns[i] for i in self.columns)
        if self.asked is not None:
            return ""
        return f"column{'s' if len(self.columns) > 1 else ''} {names}" if names else ""

    def parts(self, chunk: TableChunk) -> np.ndarray:
        """uint8 (k,): the part of each vertex."""
        if len(self.columns) == 1:
            return self._of_words(chunk, self.columns[0])
        masks = [self._mask(chunk, column) for column in self.columns]
        return split_of_masks(masks, Origin(str(self.table.path), chunk.first_row))

    def _mask(self, chunk: TableChunk, column: int) -> np.ndarray:
        texts, which = distinct(chunk.cells(column))
        cells = [_whole(cell.lower()) for cell in texts]
        for n, cell in enumerate(cells):
            if cell not in _both():
                row = int(np.argmax(which == n))
                raise self._bad(chunk, row, column, cell, "0 or 1, or true or false")
        return np.array([cell in TRUE for cell in cells], bool)[which]

    def _of_words(self, chunk: TableChunk, column: int) -> np.ndarray:
        found, which = distinct(chunk.cells(column))
        words = [_whole(word.lower()) for word in found]
        known = WORDS | DIGITS
        needed = "train, val, test or none"
        if self.values is not None:
            texts = [_whole(text.lower()) for text in self.values]
            known = dict(zip(texts, SPLITS.values(), strict=True)) | {"": NONE}
            needed = " or ".join(self.values)
        for n, word in enumerate(words):
            if word not in known:
                raise self._bad(chunk, int(np.argmax(which == n)), column, word, needed)
        self.seen.update(words)
        return np.array([known[word] for word in words], np.uint8)[which]

    def _bad(self, chunk: TableChunk, row: int, column: int, found: str, needed: str) -> DataError:
        return DataError(
            f"{self.table.path}, row {chunk.first_row + row:,}, column "
            f"{self.table.columns[column]}: {found!r} is no part of a split: needed {needed}"
        )

    def close(self) -> None:
        """Raise DataError when the numbers that occurred may mean one thing or another."""
        digits = self.seen & set(DIGITS)
        if (
            self.values is None
            and digits
            and ("3" not in digits or len(self.seen - {""}) != len(digits))
        ):
            raise DataError(
                f"{self.table.path}, column {self.table.columns[self.columns[0]]}: the split has "
                f"{', '.join(sorted(digits))}, which may mean several things. Say which stand for "
                f"train, validation and test: --split-values 0 1 2 (numbers are understood where "
                f"a 3 is among them: 0 none, 1 train, 2 validation, 3 test)"
            )


def _both() -> tuple[str, ...]:
    return TRUE + FALSE


def _whole(cell: str) -> str:
    """`1.0` as `1`, anything else as it is."""
    return cell.removesuffix(".0") if is_number(cell) else cell
