"""Which column of a file of events is what, by its layout, its names and the options."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from batchgnn.base.errors import DataError
from batchgnn.data.event_options import EventOptions
from batchgnn.data.headers import (
    INDEX_NAMES,
    SOURCE_NAMES,
    TARGET_NAMES,
    HeaderRule,
    edge_header,
    find_column,
    is_number,
)
from batchgnn.data.joined import open_tables
from batchgnn.data.tables import Table

TIME_NAMES = ("time", "timestamp", "ts", "t", "unixts", "unix_time", "date_time")
EVENT_LABEL_NAMES = ("label", "state_label", "edge_label")
ROLL = "ext_roll"
"TGL's column of the split: 0 train, 1 validation, 2 test."


@dataclass(frozen=True, kw_only=True)
class EventColumns:
    """Positions of columns.

    two_sided  sources and targets have ids of their own: 3 is one vertex here, another there
    """

    source: int
    target: int
    time: int
    label: int | None = None
    split: int | None = None
    features: tuple[int, ...] = ()
    two_sided: bool = False

    @property
    def used(self) -> set[int]:
        """Positions of all columns that become something."""
        found = (self.source, self.target, self.time, self.label, self.split, *self.features)
        return {column for column in found if column is not None}


def open_events(path: Path | str, options: EventOptions) -> tuple[Table, EventColumns]:
    """The table and what its columns are; raises DataError where that may be otherwise."""
    named = (options.source, options.target, options.time, options.label, options.split_column)
    header: HeaderRule | bool = edge_header((*named, *options.features), options.header)
    if options.layout in ("jodie", "tgb") and options.header is None:
        header = _first_is_text
    table = open_tables((path, *options.more), delimiter=options.delimiter, header=header)
    if len(table.columns) < 3:
        raise DataError(
            f"{table.path} has {len(table.columns)} columns, needed at least source, target and "
            "time. Give the --delimiter"
        )
    return table, FIND[options.layout](table, options)


def _first_is_text(path: Path, cells: list[str], sample: list[list[str]]) -> bool:
    return not all(map(is_number, cells[:3]))


def _jodie(table: Table, options: EventOptions) -> EventColumns:
    _require_columns(table, 4, "user, item, time and label")
    features = _features_from(table, 4, options)
    return EventColumns(source=0, target=1, time=2, label=3, features=features, two_sided=True)


def _tgb(table: Table, options: EventOptions) -> EventColumns:
    names = [name.lower() for name in table.columns]
    label = 3 if len(names) > 3 and names[3] in EVENT_LABEL_NAMES else None
    features = _features_from(table, 3 if label is None else 4, options)
    return EventColumns(source=1, target=2, time=0, label=label, features=features)


def _features_from(table: Table, first: int, options: EventOptions) -> tuple[int, ...]:
    return () if options.features_npy is not None else tuple(range(first, len(table.columns)))


def _tgl(table: Table, options: EventOptions) -> EventColumns:
    roll = table.columns.index(ROLL) if ROLL in table.columns else None
    return _by_name(table, options, None if options.split is not None else roll)


def _columns(table: Table, options: EventOptions) -> EventColumns:
    return _by_name(table, options, None)


def _by_name(table: Table, options: EventOptions, roll: int | None) -> EventColumns:
    """Columns by their names; three columns without names are source, target and time."""
    path, names = table.path, table.columns
    source = find_column(path, names, options.source, SOURCE_NAMES, "--source")
    target = find_column(path, names, options.target, TARGET_NAMES, "--target")
    time = find_column(path, names, options.time, TIME_NAMES, "--time")
    rest = [
        c
        for c, name in enumerate(names)
        if c not in (source, target, time, roll)
        and not (table.has_header and name.lower() in INDEX_NAMES)
    ]
    if len(rest) == 3 and {source, target, time} == {None} and not table.has_header:
        source, target, time = rest
    if source is None or target is None or time is None:
        missing = [
            f"--{what} COLUMN"
            for what, found in (("source", source), ("target", target), ("time", time))
            if found is None
        ]
        raise DataError(
            f"{path}: which columns are the events' source, target and time? Found "
            f"{', '.join(name or '(unnamed)' for name in names[:20])}. Name them: "
            f"{' '.join(missing)}" + ("" if table.has_header else NO_NAMES)
        )
    if len({source, target, time}) < 3:
        raise DataError(f"{path}: --source, --target and --time need three columns")
    label = find_column(path, names, options.label, EVENT_LABEL_NAMES, "--label")
    split = find_column(path, names, options.split_column, (), "--split-column")
    features = [find_column(path, names, name, (), "--features") for name in options.features]
    return EventColumns(
        source=source,
        target=target,
        time=time,
        label=label,
        split=roll if split is None else split,
        features=tuple(column for column in features if column is not None),
    )


NO_NAMES = " (columns of a file without header go by number; --header says that it has one)"


def _require_columns(table: Table, least: int, what: str) -> None:
    if len(table.columns) < least:
        raise DataError(f"{table.path} has {len(table.columns)} columns, needed {what}")


FIND: dict[str, Callable[[Table, EventOptions], EventColumns]] = {
    "columns": _columns,
    "jodie": _jodie,
    "tgb": _tgb,
    "tgl": _tgl,
}
