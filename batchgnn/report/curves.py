"""The section of learning: loss and scores of each epoch."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial

from batchgnn.report import svg
from batchgnn.report.html import STAR, Cell, Html, number, seconds, starred, table
from batchgnn.report.layout import beside_table, figure, heads
from batchgnn.report.run import Line, Run
from batchgnn.report.style import run_class
from batchgnn.run.run_scores import scored_epoch

RING = "A ring is the best epoch by validation"


def learning(runs: Sequence[Run]) -> Html:
    """Loss and scores by epoch, and by seconds of training."""
    loss = [_series(n, run, "loss") for n, run in enumerate(runs)]
    legend = [svg.stroke(run_class(n), run.name) for n, run in enumerate(runs)]
    caption = "Mean training loss of each epoch."
    if any(each.ringed for each in loss):
        caption += f" {RING}."
    figures = [figure(caption, _lines("Loss", loss, "loss"), *legend)]
    for name in dict.fromkeys(name for run in runs for name in run.scores.names):
        figures += _score_figures(name, runs, legend)
    return beside_table(figures, _epochs(runs), runs)


def _score_figures(name: str, runs: Sequence[Run], legend: Sequence[Html]) -> list[Html]:
    """A score by epoch, and by seconds in the runs whose best epoch it chooses."""
    val = [_series(n, run, f"val_{name}") for n, run in enumerate(runs)]
    if not any(each.points for each in val):
        return []
    test = [_series(n, run, f"test_{name}", " test") for n, run in enumerate(runs)]
    kinds = [svg.stroke("plain", "validation"), svg.stroke("plain test", "test")]
    caption = f"Exact {name} of the whole validation and test split."
    chosen = {n: run for n, run in enumerate(runs) if run.scores.metric == name}
    for run in list(chosen.values())[:1]:
        caption += f" {RING} ({run.scores.direction})."
    drawn = _lines(f"Scores: {name}", [*val, *test], name)
    figures = [figure(caption, drawn, *legend, *kinds)]
    clock = [each for n, run in chosen.items() if (each := _by_clock(n, run, name)).points]
    if clock:
        drawn = svg.lines(
            f"Validation {name} by seconds", clock, "time of training (s)", name, whole_x=False
        )
        caption = f"Validation {name} by the seconds of training until then, without evaluations."
        figures.append(figure(caption, drawn, *legend))
    return figures


def _lines(name: str, series: list[svg.Series], label: str) -> Html:
    drawn = [each for each in series if each.points]
    return svg.lines(name, drawn, "epoch", label) if drawn else Html("")


def _series(n: int, run: Run, key: str, kind: str = "") -> svg.Series:
    of_loss = key == "loss"
    points = [
        (line["epoch"] if of_loss else scored_epoch(line), line[key])
        for line in run.lines
        if line.get(key) is not None
    ]
    is_ringed = of_loss or key == f"val_{run.scores.metric}"
    ringed = run.scores.best_epoch if is_ringed else None
    return svg.Series(f"{run.name}, {key}", run_class(n) + kind, points, ringed)


def _by_clock(n: int, run: Run, name: str) -> svg.Series:
    spent = list(itertools.accumulate(line["seconds"] for line in run.lines))
    scored = [
        (scored_epoch(line), at, line[key])
        for line, at in zip(run.lines, spent, strict=True)
        if line.get(key := f"val_{name}") is not None
    ]
    best = run.scores.best_epoch
    ringed = next((at for epoch, at, _ in scored if epoch == best), None)
    return svg.Series(run.name, run_class(n), [(at, score) for _, at, score in scored], ringed)


def _epochs(runs: Sequence[Run]) -> Html:
    """Every epoch's loss, scores and seconds."""
    by_epoch: list[dict] = [{line["epoch"]: line for line in run.lines} for run in runs]
    columns = [_columns(run) for run in runs]
    rows: list[list[object]] = []
    for epoch in sorted(set().union(*by_epoch)):
        cells = [
            say(lines.get(epoch, {}))
            for each, lines in zip(columns, by_epoch, strict=True)
            for say in each.values()
        ]
        rows.append([epoch, *cells])
    keys = ["epoch", *(key for each in columns for key in each)]
    groups = [("", 1), *((h, len(each)) for h, each in zip(heads(runs), columns, strict=True))]
    caption = f"Epochs ({STAR}: the best by validation)"
    return table(caption, keys, rows, groups=groups, label="Epochs", class_="many")


def _columns(run: Run) -> dict[str, Callable[[Line], Cell]]:
    """Head -> cell of an epoch's line; the best validation score has a star."""
    chosen, best = f"val_{run.scores.metric}", run.scores.best_epoch

    def say(key: str, line: Line) -> Cell:
        cell = number(line.get(key))
        return starred(cell) if key == chosen and line.get("epoch") == best else cell

    columns: dict[str, Callable[[Line], Cell]] = {"loss": partial(say, "loss")}
    for name in run.scores.names:
        columns[f"validation {name}"] = partial(say, f"val_{name}")
        columns[f"test {name}"] = partial(say, f"test_{name}")
    return {**columns, "seconds": lambda line: seconds(line.get("seconds"))}
