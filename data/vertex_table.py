"""The vertex table of an edge list: which column is what, and all rows in chunks."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from batchgnn.base.errors import DataError
from batchgnn.data.checks import Origin
from batchgnn.data.classes import NO_NUMBER, Classes, is_none
from batchgnn.data.convert import append_random_split
from batchgnn.data.edge_options import EdgeListOptions
from batchgnn.data.features import FeatureRows
from batchgnn.data.headers import (
    ID_NAMES,
    INDEX_NAMES,
    LABEL_NAMES,
    find_column,
    is_number,
    vertex_header,
)
from batchgnn.data.id_sets import distinct
from batchgnn.data.joined import open_tables
from batchgnn.data.labels import check_labels, task_of
from batchgnn.data.one_hot import OneHot
from batchgnn.data.split_columns import SplitColumns
from batchgnn.data.tables import TableChunk, not_a_number
from batchgnn.store.graph_writer import GraphSpec
from batchgnn.store.labels import MULTICLASS, MULTILABEL, REGRESSION
from batchgnn.store.taken import Record


class VertexTable:
    """The table of the vertices.

    task                 of the labels, one of `store.labels.TASKS`
    id                   position of this column
    label, features      positions of these columns
    split                the columns of the split
    """

    def __init__(self, options: EdgeListOptions):
        """Read the first line; raises DataError when a column is missing, or may be two things."""
        named = (options.id, options.split_column, *options.label, *options.features)
        header = vertex_header(named, options.header)
        self.table = open_tables(options.vertices, delimiter=options.delimiter, header=header)
        self.columns, self.no_label = self.table.columns, options.no_label
        self.id = self._id_column(options)
        self.label = self._label_columns(options)
        self.split = SplitColumns(self.table, options, {self.id, *self.label})
        self.features = self._feature_columns(options)
        found = [self._find(name, (), "--one-hot") for name in options.one_hot]
        self.one_hot = OneHot(self.table, [column for column in found if column is not None])
        self._refuse_one_hot()
        self.asked = options.task
        self.task = task_of(options.task, len(self.label), str(self.table.path))
        if (options.task is not None or options.no_label) and not self.label:
            about = f"--task {options.task}" if options.task else "--no-label"
            raise DataError(
                f"{self.table.path}: {about} is about labels, but there is no column label. Name "
                f"it: --label COLUMN"
            )

    def _find(self, name: str | None, usual: Sequence[str], option: str) -> int | None:
        return find_column(self.table.path, self.columns, name, usual, option)

    def _id_column(self, options: EdgeListOptions) -> int:
        found = self._find(options.id, ID_NAMES, "--id")
        if found is not None:
            return found
        if not self.table.has_header or self.columns[0].lower() in INDEX_NAMES:
            return 0
        raise DataError(
            f"{self.table.path}: which column has the ids of the vertices? Found "
            f"{', '.join(self.columns[:20])}. Name it: --id {self.columns[0]}; or, if the first "
            f"line is a vertex, say --no-header"
        )

    def _label_columns(self, options: EdgeListOptions) -> tuple[int, ...]:
        if options.label:
            return tuple(
                c for name in options.label if (c := self._find(name, (), "--label")) is not None
            )
        left = [name for name in LABEL_NAMES if name not in map(str.lower, options.features)]
        found = self._find(None, left, "--label")
        low = [name.lower() for name in self.columns]
        if found is not None and low[found] == "y" and "x" in low and not options.features:
            raise DataError(
                f"{self.table.path}: is {self.columns[found]} the label, or is it a feature as "
                f"{self.columns[low.index('x')]} is? Say --label {self.columns[found]}, or name "
                f"the --features"
            )
        return () if found is None or found == self.id else (found,)

    def _feature_columns(self, options: EdgeListOptions) -> tuple[int, ...]:
        if options.features_npy is not None:
            return ()
        if options.features:
            names = dict.fromkeys((*options.features, *options.one_hot))
            found = [self._find(name, (), "--features") for name in names]
            return tuple(column for column in found if column is not None)
        rest = [
            column
            for column, name in enumerate(self.columns)
            if column not in (self.id, *self.label, *self.split.columns, *self.split.left_out)
            and not (self.table.has_header and name.lower() in INDEX_NAMES)
        ]
        self.split.refuse_parts_among(rest)
        return tuple(rest)

    @property
    def num_features(self) -> int:
        """Numbers of a vertex."""
        return sum(map(self._width, self.features))

    def _width(self, column: int) -> int:
        values = self.one_hot.values
        return len(values[column]) if column in values else self.table.width_of(column)

    def _are_one_hot(self) -> np.ndarray:
        """bool (D,): the columns of 0 and 1."""
        kinds = [column in self.one_hot.values for column in self.features]
        return np.repeat(np.array(kinds, bool), [self._width(column) for column in self.features])

    def _features(self, chunk: TableChunk, *, missing: bool) -> np.ndarray:
        """float64 (k, D); missing: whether an empty cell is NaN rather than refused."""
        if not self.one_hot.values:
            return chunk.numbers(self.features, missing=missing)
        parts = [
            self.one_hot.rows(chunk, column)
            if column in self.one_hot.values
            else chunk.numbers([column], missing=missing)
            for column in self.features
        ]
        return np.hstack(parts)

    def _refuse_one_hot(self) -> None:
        """Raise DataError where a column of --one-hot is something else."""
        for column in self.one_hot.values:
            if column not in self.features:
                raise DataError(
                    f"{self.table.path}: --one-hot {self.columns[column]}: the column is the id, a "
                    "label or the split, needed one of features. Choose another"
                )

    def taken(self) -> Record:
        """What was taken as what."""
        named = [self.columns[column] for column in self.features]
        wide = self.num_features - len(named)
        split = () if self.split.asked is not None else self.split.columns
        used = {self.id, *self.label, *split, *self.features}
        unused = [name or "(unnamed)" for c, name in enumerate(self.columns) if c not in used]
        first = ", ".join(self.table.first_cells[:6])
        header = (
            f"first line: {first}"
            if self.table.has_header
            else (f"none, the first line is a vertex: {first} (--header if it names columns)")
        )
        return {
            "vertex table, header": header,
            "files of the vertices, in this order": list(self.table.files),
            "id": f"column {self.columns[self.id] or '(unnamed)'}",
            "label": " ".join(f"column {self.columns[c]}" for c in self.label[:20])
            or "none (name it: --label COLUMN)",
            "split": self.split.said(),
            "features": [*named, *([f"({wide + len(named)} numbers)"] if wide > 0 else [])],
            "one-hot": [
                f"{self.columns[column]} ({', '.join(values)})"
                for column, values in self.one_hot.values.items()
            ],
            "columns of the vertices not used": unused,
        }

    @cached_property
    def classes(self) -> Classes:
        """The classes that occur in a single column of them; the column is read for it.

        Raises DataError for numbers with a fraction, unless the user said that these are classes.
        """
        classes = Classes(self.no_label)
        if self.task == MULTICLASS and self.label:
            (column,) = self.label
            for chunk in self.table.chunks([column]):
                texts, which = distinct(chunk.cells(column))
                classes.add(texts, np.bincount(which, minlength=len(texts)).tolist())
            place = f"{self.table.path}, column {self.columns[column]}"
            classes.close(place, asked=self.asked is not None)
        return classes

    def num_classes(self, options: EdgeListOptions) -> int | None:
        """What is known of the number of classes before the labels are numbered."""
        if self.task == MULTILABEL:
            return len(self.label)
        return options.classes if self.classes.names is None else len(self.classes.names)

    def draws_split(self, options: EdgeListOptions) -> bool:
        """Whether the split is drawn at random rather than the table's own."""
        return not self.split.columns or options.split is not None

    def append(
        self,
        rows: FeatureRows,
        options: EdgeListOptions,
        with_features: bool,
        advance: Callable[[], None],
    ) -> None:
        """Append features, labels and split of all vertices."""
        first, drawn, writer = 0, self.draws_split(options), rows.writer
        if with_features:
            rows.as_is = self._are_one_hot()
        wanted = {self.id, *self.label, *self.features, *(() if drawn else self.split.columns)}
        for chunk in self.table.chunks(sorted(wanted)):
            origin = Origin(str(self.table.path), chunk.first_row)
            if with_features:
                rows.append(self._features(chunk, missing=options.fill is not None), origin)
            labels = self._labels(chunk, writer.spec, origin)
            writer.append_labels(labels)
            if drawn:
                append_random_split(writer, options, first, labels)
            else:
                writer.append_split(self.split.parts(chunk))
            first += len(chunk)
            advance()
        if not drawn:
            self.split.close()

    def _labels(self, chunk: TableChunk, spec: GraphSpec, origin: Origin) -> np.ndarray:
        """The labels of a chunk as the store has them."""
        if not self.label:
            labels = np.full(len(chunk), -1)
        elif spec.task == MULTILABEL:
            labels = np.stack([self._numbers(chunk, c, NO_NUMBER) for c in self.label], axis=1)
        elif spec.task == REGRESSION:
            labels = self._numbers(chunk, self.label[0], NO_NUMBER)
        else:
            texts, which = distinct(chunk.cells(self.label[0]))
            labels = self.classes.labels(texts)[which]
        return check_labels(labels, spec, origin)

    def _numbers(self, chunk: TableChunk, column: int, nothing: Sequence[str]) -> np.ndarray:
        """float64 (k,) from the cells of a column, NaN where there is nothing."""
        texts, which = distinct(chunk.cells(column))
        numbers = np.full(len(texts), np.nan)
        for n, cell in enumerate(texts):
            if is_none(cell, nothing, self.no_label):
                continue
            if not is_number(cell):
                row = chunk.first_row + int(np.argmax(which == n))
                raise not_a_number(self.table, row, column, cell)
            numbers[n] = float(cell)
        return numbers[which]
