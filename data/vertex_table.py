"""The vertex table of an edge list: which column is what, the classes, and all rows in chunks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from batchgnn.base.errors import DataError
from batchgnn.data.checks import Origin
from batchgnn.data.convert import append_random_split, prepare_features
from batchgnn.data.edge_options import EdgeListOptions
from batchgnn.data.labels import check_labels, fraction, task_of
from batchgnn.data.tables import TableChunk, find_column, is_number, not_a_number, open_table
from batchgnn.store.graph_writer import NONE, TEST, TRAIN, VALIDATION, GraphSpec, GraphStoreWriter
from batchgnn.store.labels import MULTICLASS, MULTILABEL, REGRESSION

NO_NUMBER = ("", "nan", "NaN", "None")
NO_LABEL = (*NO_NUMBER, "-1")
PARTS = {"train": TRAIN, "val": VALIDATION, "valid": VALIDATION, "validation": VALIDATION}
PARTS |= {"test": TEST, "none": NONE, "": NONE, "0": NONE, "1": TRAIN, "2": VALIDATION, "3": TEST}


class VertexTable:
    """The table of the vertices.

    task                 of the labels, one of `store.labels.TASKS`
    id, split            positions of these columns; split may be None
    label, features      positions of these columns
    """

    def __init__(self, options: EdgeListOptions):
        """Read the first line; raises DataError when a column is missing."""
        path = options.vertices or ""
        self.table = open_table(path, delimiter=options.delimiter, header=options.header)
        self.id = find_column(self.table, options.id, ("id",), "--id") or 0
        self.split = find_column(self.table, options.split_column, ("split",), "--split-column")
        wanted: Sequence[str | None] = options.label or (None,)
        self.label = self._columns(wanted, ("label",), "--label")
        self.features = self._feature_columns(options)
        self.asked = options.task
        self.task = task_of(options.task, len(self.label), str(self.table.path))
        if options.task is not None and not self.label:
            raise DataError(
                f"{self.table.path}: --task {options.task} is about labels, but there is no column "
                f"label. Name it: --label COLUMN"
            )

    def _columns(
        self, names: Sequence[str | None], usual: Sequence[str], option: str
    ) -> tuple[int, ...]:
        found = [find_column(self.table, name, usual, option) for name in names]
        return tuple(column for column in found if column is not None)

    def _feature_columns(self, options: EdgeListOptions) -> tuple[int, ...]:
        if options.features_npy is not None:
            return ()
        if options.features:
            return self._columns(options.features, (), "--features")
        rest = range(len(self.table.columns))
        return tuple(c for c in rest if c not in (self.id, self.split, *self.label))

    @cached_property
    def classes(self) -> "Classes":
        """The classes that occur in a single column of them; the column is read for it.

        Raises DataError for numbers with a fraction, unless the user said that these are classes.
        """
        classes = Classes()
        if self.task == MULTICLASS and self.label:
            (column,) = self.label
            for chunk in self.table.chunks([column]):
                classes.texts.update(chunk.text(column))
            classes.texts.difference_update(NO_LABEL)
            broken = sorted(t for t in classes.texts if not is_whole(t))
            if broken and self.asked is None and all(map(is_number, classes.texts)):
                place = f"{self.table.path}, column {self.table.columns[column]}"
                raise fraction(place, broken[0])
            classes.close()
        return classes

    def num_classes(self, options: EdgeListOptions) -> int | None:
        """What is known of the number of classes before the labels are numbered."""
        if self.task == MULTILABEL:
            return len(self.label)
        return options.classes if self.classes.names is None else len(self.classes.names)

    def draws_split(self, options: EdgeListOptions) -> bool:
        """Whether the split is drawn at random rather than the table's own."""
        return self.split is None or options.split is not None

    def append(
        self,
        writer: GraphStoreWriter,
        options: EdgeListOptions,
        with_features: bool,
        advance: Callable[[], None],
    ) -> None:
        """Append features, labels and split of all vertices."""
        first, split = 0, () if self.split is None else (self.split,)
        for chunk in self.table.chunks(sorted({self.id, *self.label, *split, *self.features})):
            origin = Origin(str(self.table.path), chunk.first_row)
            if with_features:
                values = chunk.numbers(self.features)
                writer.append_features(prepare_features(values, options, origin))
            labels = self._labels(chunk, writer.spec, origin)
            writer.append_labels(labels)
            if self.split is None or options.split is not None:
                append_random_split(writer, options, first, labels)
            else:
                writer.append_split(self._split(chunk, self.split))
            first += len(chunk)
            advance()

    def _labels(self, chunk: TableChunk, spec: GraphSpec, origin: Origin) -> np.ndarray:
        """The labels of a chunk as the store has them."""
        if spec.task == MULTILABEL:
            labels = chunk.numbers(self.label)
        elif not self.label:
            labels = np.full(len(chunk), -1)
        elif spec.task == REGRESSION:
            labels = self._numbers(chunk, self.label[0])
        else:
            labels = self.classes.labels(chunk.text(self.label[0]))
        return check_labels(labels, spec, origin)

    def _numbers(self, chunk: TableChunk, column: int) -> np.ndarray:
        """float64 (k,) from the cells of a column, NaN where there is nothing."""
        numbers = np.full(len(chunk), np.nan)
        for row, cell in enumerate(chunk.text(column)):
            if cell in NO_NUMBER:
                continue
            try:
                numbers[row] = float(cell)
            except ValueError:
                raise not_a_number(self.table, chunk.first_row + row, column, cell) from None
        return numbers

    def _split(self, chunk: TableChunk, column: int) -> np.ndarray:
        """uint8 (k,) from the words of a split column."""
        words = [word.lower() for word in chunk.text(column)]
        for row, word in enumerate(words):
            if word not in PARTS:
                raise DataError(
                    f"{self.table.path}, row {chunk.first_row + row:,}, column "
                    f"{self.table.columns[column]}: {word!r} is no part of a split: needed train, "
                    f"val, test or none"
                )
        return np.array([PARTS[word] for word in words], np.uint8)


@dataclass
class Classes:
    """The classes that occur: integers, or names in sorted order."""

    texts: set[str] = field(default_factory=set)
    names: list[str] | None = None
    number: dict[str, int] = field(default_factory=dict)

    def close(self) -> None:
        """Decide, when all labels have been seen."""
        if not all(map(is_whole, self.texts)):
            self.names = sorted(self.texts)
            self.number = {name: i for i, name in enumerate(self.names)}

    def labels(self, texts: list[str]) -> np.ndarray:
        """int64 (k,): -1 where there is none."""
        known = self.number
        return np.array(
            [-1 if t in NO_LABEL else known[t] if known else int(float(t)) for t in texts],
            np.int64,
        )


def is_whole(cell: str) -> bool:
    """Whether the text is a whole number, as `7` or `7.0`."""
    return is_number(cell) and float(cell).is_integer()
