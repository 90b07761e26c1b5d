"""The section of learning: loss and scores of each epoch."""

from collections.abc import Sequence

from batchgnn.report import svg
from batchgnn.report.html import Html, number, seconds, table
from batchgnn.report.layout import beside_table, figure, heads
from batchgnn.report.run import Run
from batchgnn.report.style import run_class


def learning(runs: Sequence[Run]) -> Html:
    """Loss and scores by epoch, and by seconds of training."""
    metrics = " / ".join(dict.fromkeys(run.metric for run in runs))
    loss = [_series(n, run, "loss", "") for n, run in enumerate(runs)]
    val = [_series(n, run, f"val_{run.metric}", "") for n, run in enumerate(runs)]
    test = [_series(n, run, f"test_{run.metric}", " test") for n, run in enumerate(runs)]
    legend = [svg.stroke(run_class(n), run.name) for n, run in enumerate(runs)]
    figures = [figure("Mean training loss of each epoch.", _lines("Loss", loss, "loss"), *legend)]
    if any(each.points for each in val):
        kinds = [svg.stroke("plain", "validation"), svg.stroke("plain test", "test")]
        caption = f"Exact {metrics} over all validation and test vertices."
        drawn = _lines(f"Scores: {metrics}", [*val, *test], metrics)
        figures.append(figure(caption, drawn, *legend, *kinds))
        clock = [_by_clock(n, run) for n, run in enumerate(runs)]
        drawn = svg.lines(
            f"Validation {metrics} by seconds", clock, "seconds of training", metrics,
            whole_x=False,
        )  # fmt: skip
        caption = "Validation score by the seconds of training until then, without evaluations."
        figures.append(figure(caption, drawn, *legend))
    return beside_table(figures, _epochs(runs), runs)


def _lines(name: str, series: list[svg.Series], label: str) -> Html:
    drawn = [each for each in series if each.points]
    return svg.lines(name, drawn, "epoch", label) if drawn else Html("")


def _series(n: int, run: Run, key: str, kind: str) -> svg.Series:
    points = [(line["epoch"], line[key]) for line in run.lines if line.get(key) is not None]
    return svg.Series(f"{run.name}, {key}", run_class(n) + kind, points)


def _by_clock(n: int, run: Run) -> svg.Series:
    points, spent = [], 0.0
    for line in run.lines:
        spent += line["seconds"]
        score = line.get(f"val_{run.metric}")
        if score is not None:
            points.append((spent, score))
    return svg.Series(run.name, run_class(n), points)


def _epochs(runs: Sequence[Run]) -> Html:
    """Every epoch's loss, scores and seconds."""
    keys = ["epoch"] + ["loss", "validation", "test", "seconds"] * len(runs)
    by_epoch: list[dict] = [{line["epoch"]: line for line in run.lines} for run in runs]
    rows = []
    for epoch in sorted(set().union(*by_epoch)):
        cells: list[object] = [epoch]
        for run, lines in zip(runs, by_epoch, strict=True):
            line = lines.get(epoch, {})
            scores = (line.get(f"{split}_{run.metric}") for split in ("val", "test"))
            cells += [number(line.get("loss")), *map(number, scores), seconds(line.get("seconds"))]
        rows.append(cells)
    groups = [("", 1), *((head, 4) for head in heads(runs))]
    return table("Epochs", keys, rows, groups=groups, class_="many")
