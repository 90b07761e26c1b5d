"""Options of `batchgnn data convert events`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from batchgnn.base.errors import ConfigError

DEFAULT_SHARES = (0.70, 0.15, 0.15)

EventLayout = Literal["columns", "jodie", "tgb", "tgl"]


@dataclass(frozen=True, kw_only=True)
class EventOptions:
    """Options of `convert events`. Columns go by name, or by number from 1 without a header."""

    more: tuple[Path, ...] = ()
    "More files of events, with the same columns, read after the first in this order."

    layout: EventLayout = "columns"
    """How the file is laid out: `columns`, known or given by name; `jodie`, user, item, time and
    label, then features, with ids of their own on either side; `tgb`, time, source, target, perhaps
    a column named label, then features; `tgl`, columns src, dst, time and the split ext_roll."""

    source: str | None = None
    "Column of the events' sources; default: source, src, from or a name like these."

    target: str | None = None
    "Column of the events' targets; default: target, dst, to or a name like these."

    time: str | None = None
    "Column of the events' times, any numbers; default: time, timestamp, ts or a name like these."

    label: str | None = None
    "Column of the events' labels, whole numbers, -1 = none; default: those of the layout."

    features: tuple[str, ...] = ()
    "Columns of the events' features, numbers; default: those of the layout."

    features_npy: Path | None = None
    "Features instead as an .npy file (events, features), rows as in the file of events."

    feature_dtype: Literal["float32", "float16"] = "float32"
    "Precision of the features in the store."

    split: tuple[float, float, float] | None = None
    """Shares of train, validation and test, by time; events of the same time stay together, before
    the boundary. Default: 0.7 0.15 0.15, where the file has no split."""

    split_column: str | None = None
    "Column of the split: 0 1 2 or train, val, test, in the order of time; default: the layout's."

    delimiter: str | None = None
    r"What parts the cells, one character or \t; default: tab, comma, semicolon or space."

    header: bool | None = None
    """Whether the first line names the columns; default: where it has names that are known or given
    by an option, or text above numbers."""

    name: str | None = None
    "Name of the stream; default: the name of the input."

    licence: str = ""
    "Licence of the data, kept in the store."

    def check(self) -> None:
        """Raise ConfigError when an option cannot be."""
        if self.split is not None:
            check_shares(self.split)
        if self.split is not None and self.split_column is not None:
            raise ConfigError("--split and --split-column: choose one of the two")
        if self.features and self.features_npy is not None:
            raise ConfigError("--features and --features-npy: choose one of the two")
        named = ("source", "target", "time", "label", "features", "split_column")
        given = [name for name in named if getattr(self, name)]
        if self.layout in ("jodie", "tgb") and given:
            raise ConfigError(
                f"--{given[0].replace('_', '-')}: --layout {self.layout} says which column is "
                "what. Leave it out, or take --layout columns"
            )


def check_shares(shares: tuple[float, float, float]) -> None:
    """Raise ConfigError unless these are three shares of the events that add up to 1."""
    if min(shares) < 0 or shares[0] == 0 or not math.isclose(sum(shares), 1, abs_tol=1e-9):
        raise ConfigError(
            f"--split {' '.join(f'{share:g}' for share in shares)}: needed three shares for train "
            "(above 0), validation and test that add up to 1: --split 0.7 0.15 0.15"
        )
