"""The scores of a run, as its folder tells them: which one chooses, which way is better, the best.

For runs that have ended and for those under way. Needs neither MPI nor HDF5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchgnn.tasks.score import higher_is_better

SPLITS = ("val", "test")
SCORED = "scored_epoch"
"Of a line: the epoch that its scores are of, where that is an earlier one."


@dataclass(frozen=True)
class RunScores:
    """Scores by name, as the keys `val_NAME` and `test_NAME` of lines and result have them.

    settings: of config.toml, flat
    result: of result.json; empty until training has ended
    lines: of metrics.jsonl, an epoch each
    """

    settings: Mapping[str, Any]
    result: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]

    @property
    def names(self) -> list[str]:
        """All scores, the one that chooses first."""
        tables = (self.result, *self.lines)
        keys = (key.partition("_") for table in tables for key in table)
        found = [name for split, _, name in keys if split in SPLITS and name]
        said = self.result.get("metric") or self.settings.get("metric")
        return list(dict.fromkeys([said, *found] if said else found))

    @property
    def metric(self) -> str | None:
        """The score that chooses the best epoch; None while nothing tells its name."""
        return next(iter(self.names), None)

    @property
    def higher_is_better(self) -> bool:
        """Which way the score that chooses is better; by its name while no result says it."""
        said = self.result.get("higher_is_better")
        return higher_is_better(self.metric or "") if said is None else bool(said)

    @property
    def direction(self) -> str:
        """The same in words."""
        return f"{'higher' if self.higher_is_better else 'lower'} is better"

    @property
    def best_epoch(self) -> int | None:
        """By the validation score, the first of equal ones; None before the first evaluation."""
        if "best_epoch" in self.result:
            return self.result["best_epoch"] or None
        key = f"val_{self.metric}"
        scored = [
            (line[key], scored_epoch(line)) for line in self.lines if line.get(key) is not None
        ]
        return self.better(scored)[1] if scored else None

    def better(self, scored: Sequence[tuple[float, Any]]) -> tuple[float, Any]:
        """Of (score, what has it) the pair with the best score; the first of equal ones."""
        choose = max if self.higher_is_better else min
        return choose(scored, key=lambda pair: pair[0])

    def at_best(self, split: str, name: str | None = None) -> float | None:
        """A score of "val" or "test" at the best epoch; name: another than the one that chooses."""
        key, best = f"{split}_{name or self.metric}", self.best_epoch
        line = next((line for line in self.lines if scored_epoch(line) == best and key in line), {})
        return self.result.get(key, line.get(key))


def scored_epoch(line: Mapping[str, Any]) -> int:
    """The epoch that a line's scores are of."""
    return line.get(SCORED, line["epoch"])


def best_runs(runs: Sequence[RunScores]) -> list[int]:
    """Of each score that chooses in several runs, the number of the run with the best of it."""
    found: dict[str | None, list[tuple[float, int]]] = {}
    for n, run in enumerate(runs):
        value = run.at_best("val")
        if value is not None:
            found.setdefault(run.metric, []).append((value, n))
    several = [scored for scored in found.values() if len(scored) > 1]
    return [runs[scored[0][1]].better(scored)[1] for scored in several]


def say_number(value: float, digits: int = 4) -> str:
    """`0.8125`, `1,234.5000`; very small and very large ones keep so many digits: `1.234e-05`."""
    small, large = 10.0 ** (1 - digits), 10.0**6
    plain = value == 0 or small <= abs(value) < large
    return f"{value:,.{digits}f}" if plain else f"{value:.{digits}g}"
