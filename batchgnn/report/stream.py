"""The section of a stream of events: how well each part of it was ranked, in the order of time."""

from collections.abc import Sequence

from batchgnn.report import svg
from batchgnn.report.html import Html, number, table
from batchgnn.report.layout import beside_table, figure, heads
from batchgnn.report.run import Run
from batchgnn.report.style import run_class

Along = list[tuple[str, float]]
"(Which part of validation's or the test's events, its mrr)."


def stream_section(runs: Sequence[Run]) -> Html:
    """mrr of consecutive equal parts of validation's events and then the test's."""
    found = [along(run) for run in runs]
    if not any(found):
        return Html("")
    series = [
        svg.Series(run.name, run_class(n), [(k + 1, mrr) for k, (_, mrr) in enumerate(parts)])
        for n, (run, parts) in enumerate(zip(runs, found, strict=True))
        if parts
    ]
    legend = [svg.stroke(run_class(n), run.name) for n, run in enumerate(runs)]
    caption = (
        "Mean reciprocal rank of consecutive equal parts of validation's events, then of the "
        "test's, when they were scored last."
    )
    names = list(dict.fromkeys(name for parts in found for name, _ in parts))
    rows: list[list[object]] = [
        [name, *(number(dict(parts).get(name)) for parts in found)] for name in names
    ]
    drawn = svg.lines("mrr along the stream", series, "part of the stream", "mrr")
    numbers = table("mrr along the stream", ["part", *heads(runs)], rows, label="mrr by part")
    return beside_table([figure(caption, drawn, *legend)], numbers, runs)


def along(run: Run) -> Along:
    """In the order of time; empty where the run has no events."""
    found = run.result.get("mrr_along", {})
    return [
        (f"{split} {k + 1} of {len(found[split])}", mrr)
        for split in ("val", "test")
        for k, mrr in enumerate(found.get(split, []))
    ]
