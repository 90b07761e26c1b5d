"""The rows of the ablation: which settings each adds, and what all have in common."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.peers_worker import SETTINGS

from batchgnn.modes.assembly import settings_of

MACROBATCH = 8


@dataclass(frozen=True)
class Row:
    """One row: settings that it changes against the row above, whose others it keeps.

    exact: it trains the numbers of the row above, so that the losses are the same.
    """

    name: str
    changes: dict[str, Any]
    exact: bool = True


def rows_of(feature_cache: str) -> list[Row]:
    """The rows of issue 3, from blocking minibatches without caches upward."""
    return [
        Row("M = 1, no caches, no overlap", {"macrobatch": 1, "overlap": False}, exact=False),
        Row(f"+ macrobatch of {MACROBATCH}", {"macrobatch": MACROBATCH}),
        Row("+ overlap", {"overlap": True}),
        Row("+ aggregated cache", {"aggregate_cache": "memory"}, exact=False),
        Row("+ remote-row cache", {"feature_cache": feature_cache}),
        Row("+ bfloat16", {"feature_dtype": "bfloat16"}, exact=False),
    ]


def available(rows: Iterable[Row], without: Sequence[str]) -> tuple[list[Row], list[str]]:
    """The rows whose settings this BatchGNN has, and a sentence on each that is left out."""
    known = set(settings_of(mode="macrobatch").options())
    kept, said = [], []
    for row in rows:
        if missing := set(row.changes) - known:
            said.append(f"{row.name}: left out, no setting {', '.join(sorted(missing))}")
        elif set(row.changes) & set(without):
            said.append(f"{row.name}: left out as asked")
        else:
            kept.append(row)
    return kept, said


def merged(rows: list[Row], numbers: Sequence[int]) -> list[Row]:
    """The rows of these numbers, each with the changes of those skipped before it."""
    kept, changes = [], {}
    for k, row in enumerate(rows):
        changes = changes | row.changes
        if k in numbers:
            kept.append(Row(row.name, changes, row.exact and k - 1 in numbers))
            changes = {}
    return kept


def check_steps(steps: int) -> None:
    """A turn is whole macrobatches."""
    if steps < 1 or steps % MACROBATCH:
        sys.exit(f"--steps {steps}: a turn is a multiple of {MACROBATCH} steps, a macrobatch")


def shared_settings(name: str, batch: int, threads: int) -> dict[str, Any]:
    """What all rows of setting A, B or C have in common."""
    fanouts = SETTINGS[name]["fanouts"]
    return {"model": "sage", "layers": len(fanouts), "hidden": SETTINGS[name]["hidden"],
            "fanouts": fanouts, "batch_size": batch, "dropout": 0.0, "threads": threads,
            "collective_timeout": 120}  # fmt: skip
