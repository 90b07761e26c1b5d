"""The section of the page with timelines: a whole epoch, and a few of its steps from near."""

from collections.abc import Sequence

from batchgnn.report import svg
from batchgnn.report.html import Html, join, number, seconds, size, table, tag
from batchgnn.report.run import Run
from batchgnn.report.style import PHASES, phase_class, phase_order
from batchgnn.watch.timeline import RankSpans, Timeline
from batchgnn.watch.trace import Span

MOST_RANKS = 16
"Ranks that are drawn; timeline.json has all."

STEPS_NEAR = 3
"Steps in the near view."


def timeline_section(runs: Sequence[Run]) -> Html:
    """The timeline of every run that has one."""
    parts = [_timeline(run, run.timeline) for run in runs if run.timeline is not None]
    explained = (
        "What each thread of each rank did. The upper row of a thread has its phases, the lower "
        "one its collectives. Where there is too little room for single spans, what took longest "
        "is shown."
    )
    return join([tag("p", explained), *parts]) if parts else Html("")


def _timeline(run: Run, timeline: Timeline) -> Html:
    held = timeline.ranks[:MOST_RANKS]
    rows = [row for rank, each in enumerate(held) for row in _rows(rank, each)]
    spans = [span for row in rows for span in row.spans]
    if not spans:
        return Html("")
    names = phase_order(span.name for span in spans if span.kind == "phases")
    legend = [svg.swatch(phase_class(name), name) for name in names]
    legend.append(svg.swatch("collective", "a collective"))
    views = [(f"Epoch {timeline.epoch}", 0.0, max(span.end_s for span in spans))]
    if near := steps_near(timeline.ranks[0].spans):
        views.append((f"{STEPS_NEAR} steps in the middle of epoch {timeline.epoch}", *near))
    figures = [
        tag(
            "figure",
            tag("div", _view(f"{said}, {run.name}", rows, a, b), class_="fit"),
            tag("figcaption", f"{said}."),
        )
        for said, a, b in views
    ]
    return join(
        [
            tag("h3", run.name),
            tag("p", *_about(run, timeline)),
            tag("ul", *legend, class_="legend"),
            *figures,
            span_table(run, timeline),
        ]
    )


def _view(name: str, rows: list[svg.Row], begin: float, end: float) -> Html:
    return svg.timeline(f"Timeline: {name}", rows, begin, end, _class_of)


def _about(run: Run, timeline: Timeline) -> list[object]:
    said: list[object] = [
        "All spans are in ", tag("code", str(run.path / "timeline.json")),
        ", which opens in Perfetto (ui.perfetto.dev) and chrome://tracing.",
    ]  # fmt: skip
    if len(timeline.ranks) > MOST_RANKS:
        said.append(f" Drawn are the first {MOST_RANKS} of {len(timeline.ranks)} ranks.")
    if timeline.first_step:
        said.append(f" A resume began at step {timeline.first_step}: earlier ones are not here.")
    if more := sum(each.num_more for each in timeline.ranks):
        said.append(
            f" Kept are the first spans of each rank; {more:,} later ones are not in the file."
        )
    return said


def _rows(rank: int, each: RankSpans) -> list[svg.Row]:
    """A row for the phases of each thread and a row for its collectives, where it has any."""
    rows = []
    for lane in each.lanes:
        mine = [span for span in each.spans if span.lane == lane]
        phases = [span for span in mine if span.kind == "phases"]
        calls = [span for span in mine if span.kind == "collectives"]
        name = f"rank {rank} {lane}"
        if phases:
            rows.append(svg.Row(name, phases, 18))
        if calls:
            rows.append(svg.Row("" if phases else name, calls, 7))
    return rows


def _class_of(span: Span) -> str:
    return "collective" if span.kind == "collectives" else phase_class(span.name)


def steps_near(spans: Sequence[Span]) -> tuple[float, float] | None:
    """Begin and end of a few steps in the middle, by their "forward"; None where there are few."""
    begins = sorted(span.begin_s for span in spans if span.name == "forward")
    if len(begins) < 2 * STEPS_NEAR:
        return None
    first = (len(begins) - STEPS_NEAR) // 2
    return begins[first], begins[first + STEPS_NEAR]


def _place(item: tuple[tuple[str, str, str], list[Span]]) -> tuple:
    """Threads in order; of each its phases in the order of a step, then its collectives."""
    lane, kind, name = item[0]
    if kind == "phases":
        return lane != "main", lane, 0, PHASES.index(name) if name in PHASES else -1, name
    return lane != "main", lane, 1, 0, name


def span_table(run: Run, timeline: Timeline) -> Html:
    """Spans by name: how many, seconds in all, the longest, of all ranks."""
    held: dict[tuple[str, str, str], list[Span]] = {}
    for each in timeline.ranks:
        for span in each.spans:
            held.setdefault((span.lane, span.kind, span.name), []).append(span)
    rows: list[list[object]] = []
    for (lane, kind, name), spans in sorted(held.items(), key=_place):
        lengths = [span.end_s - span.begin_s for span in spans]
        sent = sum(span.sent_bytes for span in spans) if kind == "collectives" else None
        what = f"{name} ({lane}{', collective' if kind == 'collectives' else ''})"
        cells = [number(len(spans)), seconds(sum(lengths)), seconds(max(lengths)), size(sent)]
        rows.append([what, *cells])
    keys = ["span", "count", "seconds of all ranks", "longest", "bytes"]
    caption = f"Spans of epoch {timeline.epoch} of {run.name}"
    return table(caption, keys, rows, class_="many")
