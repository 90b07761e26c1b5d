"""The runs of a job array in a table: what of their settings differs, their scores, and over seeds
the mean and the deviation."""

from collections.abc import Sequence
from statistics import mean, stdev

from batchgnn.run.run_scores import SPLITS, say_number
from batchgnn.run.run_state import RunState

SEED = "seed"


def table_of(runs: Sequence[RunState]) -> list[str]:
    """A line a run, and one for each set of finished runs that differ in their seed alone.

    Scores are those at the best epoch; the deviation is that of a sample, with n - 1.
    """
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    differing = [key for key in keys if len({str(run.settings.get(key)) for run in runs}) > 1]
    metrics = list(dict.fromkeys(run.scores.metric for run in runs if run.scores.metric))
    head = ["run", *differing, "epochs", *(f"{s}_{m}" for m in metrics for s in SPLITS)]
    rows = [_row(run, differing, metrics) for run in runs]
    rows += [_mean_row(group, differing, metrics) for group in _over_seeds(runs, differing)]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in [head, *rows]]


def _row(run: RunState, differing: list[str], metrics: list[str]) -> list[str]:
    done = f"{len(run.lines)}/{run.settings.get('epochs', '?')}"
    scores = ["-" if value is None else say_number(value) for value in _scores(run, metrics)]
    return [run.path.name, *(str(run.settings.get(key, "-")) for key in differing), done, *scores]


def _scores(run: RunState, metrics: list[str]) -> list[float | None]:
    """By metric validation and test; None for those that do not choose in this run."""
    return [
        run.scores.at_best(split) if run.scores.metric == metric else None
        for metric in metrics
        for split in SPLITS
    ]


def _over_seeds(runs: Sequence[RunState], differing: list[str]) -> list[list[RunState]]:
    """Finished runs, at least two, that have all settings but the seed in common."""
    groups: dict[tuple[str, ...], list[RunState]] = {}
    for run in runs:
        if run.result:
            same = tuple(str(run.settings.get(key)) for key in differing if key != SEED)
            groups.setdefault(same, []).append(run)
    return [group for group in groups.values() if len(group) > 1]


def _mean_row(group: list[RunState], differing: list[str], metrics: list[str]) -> list[str]:
    settings = ["" if key == SEED else str(group[0].settings.get(key, "-")) for key in differing]
    columns = zip(*(_scores(run, metrics) for run in group), strict=True)
    known = [[value for value in column if value is not None] for column in columns]
    said = [
        f"{say_number(mean(values))} ± {say_number(stdev(values))}" if len(values) > 1 else "-"
        for values in known
    ]
    return [f"mean ± deviation of {len(group)}", *settings, "", *said]
