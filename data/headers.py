"""Whether a table's first line names its columns, and which column is what by its name.

Only what cannot be otherwise is guessed; else the user is asked, with what to type.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from batchgnn.base.errors import DataError

HeaderRule = Callable[[Path, list[str], list[list[str]]], bool]
"(file, cells of the first line, rows of the lines after it) -> whether the first line is a header."

SOURCE_NAMES = (
    "source", "src", "from", "u", "head", "source_id", "src_id", "from_id", "fromnodeid",
    "from_node_id", "source_node", "node1", "node_1", "id_1", "start", "start_id", ":start_id",
    "~from", "sender", "citing", "subject",
)  # fmt: skip
TARGET_NAMES = (
    "target", "dst", "to", "v", "tail", "target_id", "dst_id", "to_id", "tonodeid",
    "to_node_id", "target_node", "node2", "node_2", "id_2", "end", "end_id", ":end_id",
    "~to", "receiver", "cited", "object", "dest", "destination",
)  # fmt: skip
ID_NAMES = (
    "id", "node_id", "nodeid", "vertex_id", "vertexid", "vertex", "node", "~id", ":id", "name",
)  # fmt: skip
LABEL_NAMES = (
    "label", "labels", "y", "class", "classes", "target", "node_label", "category", "class_id",
    "label_id",
)  # fmt: skip
SPLIT_NAMES = ("split", "node_split", "data_split")
INDEX_NAMES = ("", "unnamed: 0", "unnamed:0", "index", "level_0", "__index_level_0__")
"What pandas calls the column of its index."

PART_NAMES = {
    "train": ("train", "training", "tr"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "te"),
}
PART_OF_SPLIT = re.compile(
    r"(?:is|in|idx|node)?[ _-]?(train|training|val|valid|validation|dev|test|testing)"
    r"[ _-]?(?:mask|idx|index|indices|ids?|nids?|set|nodes?|split)?[ _-]?\d*"
)
"A name that speaks of a part of a split."


def is_number(cell: str) -> bool:
    """Whether the text is a number (`1_0` is none, though Python reads it as 10)."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def part_of(name: str) -> str | None:
    """`train`, `val` or `test` when a column or array is named as a part of a split."""
    found = PART_OF_SPLIT.fullmatch(name.strip().lower())
    if found is None:
        return None
    return next(part for part, names in PART_NAMES.items() if found[1] in names)


def edge_header(named: Sequence[str | None], asked: bool | None) -> HeaderRule | bool:
    """The rule of an edge list.

    named  the columns that the user named by an option
    asked  what the user said of the header
    """

    def rule(path: Path, cells: list[str], sample: list[list[str]]) -> bool:
        plain = _plain(path, cells, sample, named)
        if plain is not None:
            return plain
        low = [cell.lower() for cell in cells]
        known = set(SOURCE_NAMES).intersection(low) and set(TARGET_NAMES).intersection(low)
        return bool(known) or _only_first_is_text(cells, sample)

    return rule if asked is None else asked


def vertex_header(named: Sequence[str | None], asked: bool | None) -> HeaderRule | bool:
    """The rule of a vertex table; arguments as of `edge_header`."""

    def rule(path: Path, cells: list[str], sample: list[list[str]]) -> bool:
        plain = _plain(path, cells, sample, named)
        if plain is not None:
            return plain
        known = {*ID_NAMES, *LABEL_NAMES, *SPLIT_NAMES, *INDEX_NAMES}
        if known.intersection(cell.lower() for cell in cells) or _only_first_is_text(cells, sample):
            return True
        raise DataError(
            f"{path}: is the first line, {_shown(cells)}, a vertex, or does it name the columns? "
            f"Say --header or --no-header"
        )

    return rule if asked is None else asked


def _plain(
    path: Path, cells: list[str], sample: list[list[str]], named: Sequence[str | None]
) -> bool | None:
    """Whether the first line is a header, where names of options or numbers tell; else None."""
    if cells[0] == "" or any(name in cells for name in named if name):
        return True
    if any(name and not name.isdigit() for name in named):
        return True
    filled = cells if cells[-1] else cells[:-1]
    if not filled or not all(map(is_number, filled)):
        return None
    if len(filled) > 2 and _counts(filled) and not any(named):
        raise DataError(
            f"{path}: are the numbers of the first line, {_shown(cells)}, a row, or names of "
            f"columns? Say --no-header or --header"
        )
    return False


def _counts(cells: list[str]) -> bool:
    """Whether the cells are 0, 1, 2, ..., as pandas names columns."""
    return cells == list(map(str, range(len(cells))))


def _only_first_is_text(cells: list[str], sample: list[list[str]]) -> bool:
    """Whether the first line has no number, and some column below it only integers or numbers."""
    if not sample or any(map(is_number, cells)):
        return False
    full = [row for row in sample if len(row) == len(cells)]
    return bool(full) and any(all(map(is_number, column)) for column in zip(*full, strict=True))


def _shown(cells: Sequence[str]) -> str:
    shown = ", ".join(cells[:6])
    return shown if len(cells) <= 6 else f"{shown}, ..."


def find_column(
    path: Path, columns: Sequence[str], wanted: str | None, usual: Sequence[str], option: str
) -> int | None:
    """Position of the column `wanted`, else of the one with a usual name; None without any.

    The first of the usual names, which the help names, goes before the others. Raises DataError
    when `wanted` is not there, or several columns have one of the others.
    """
    if wanted is not None:
        if wanted not in columns:
            raise DataError(
                f"{path} has no column {wanted!r} ({option}); found {', '.join(columns)}"
            )
        return list(columns).index(wanted)
    low = [name.lower() for name in columns]
    found = [i for i, name in enumerate(low) if name in usual]
    if usual and low.count(usual[0]) == 1:
        found = [low.index(usual[0])]
    if len(found) > 1:
        names = " and ".join(columns[i] for i in found)
        raise DataError(f"{path} has the columns {names}: choose one, {option} {columns[found[0]]}")
    return found[0] if found else None
