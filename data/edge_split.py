"""Which part of a link split an edge is of: by a column of words, or of 1, 2 and 3, or its file."""

import numpy as np

from batchgnn.base.errors import DataError
from batchgnn.data.edge_options import EdgeListOptions
from batchgnn.data.joined import files_of
from batchgnn.data.split_columns import WORDS
from batchgnn.data.tables import Table, TableChunk
from batchgnn.store.graph_writer import NONE, TEST, TRAIN, VALIDATION

PARTS = {word: part for word, part in WORDS.items() if part != NONE}
PARTS |= {"1": TRAIN, "2": VALIDATION, "3": TEST}


def edge_parts(table: Table, chunk: TableChunk, column: int) -> np.ndarray:
    """uint8 (k,): 1 train, 2 validation, 3 test. Raises DataError, which names file and row."""
    words = [word.strip().lower().removesuffix(".0") for word in chunk.text(column)]
    for row, word in enumerate(words):
        if word not in PARTS:
            raise DataError(
                f"{table.path}, row {chunk.first_row + row:,}, column {table.columns[column]}: "
                f"{word!r} is no part of a split of edges: needed train, val or test (or 1, 2, 3)"
            )
    return np.array([PARTS[word] for word in words], np.uint8)


def parts_of_files(options: EdgeListOptions) -> dict[str, int]:
    """By file of edges that are held out: 2 validation, 3 test."""
    given = ((options.val_edges, VALIDATION), (options.test_edges, TEST))
    return {str(file): part for paths, part in given for path in paths for file in files_of(path)}
