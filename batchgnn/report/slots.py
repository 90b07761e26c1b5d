"""The section of layers in a pipeline: slots of each stage, how idle it was, how old rows were."""

from collections.abc import Sequence

import numpy as np

from batchgnn.report import svg
from batchgnn.report.html import Html, join, number, seconds, share, table, tag
from batchgnn.report.layout import figure, run_name
from batchgnn.report.run import Run
from batchgnn.report.style import phase_class
from batchgnn.watch.trace import Span

FORWARD, BACKWARD = "chunk forward", "chunk backward"
"Phases of a stage: one of its slots each."

Slots = list[list[Span]]
"Of every rank, in the order of time."


def slots_section(runs: Sequence[Run]) -> Html:
    """Of every run whose layers were stages; nothing where none's were."""
    parts = [_of_run(n, run) for n, run in enumerate(runs) if run.result.get("slots")]
    return join(parts)


def _of_run(n: int, run: Run) -> Html:
    slots = slots_of(run)
    parts = [tag("h3", run_name(n, run)), tag("p", _said(run))]
    parts += [_figure(run, slots)] if any(slots) else []
    parts += [_stage_table(run, slots), _guard_table(run)]
    return join(parts)


def slots_of(run: Run) -> Slots:
    """The slots that the timeline has; empty lists where there is none."""
    if run.timeline is None:
        return []
    return [
        [span for span in each.spans if span.name in (FORWARD, BACKWARD)]
        for each in run.timeline.ranks
    ]


def _said(run: Run) -> str:
    slots, stale = run.result["slots"], run.result.get("staleness", {})
    said = (
        f"{slots['chunks']} chunks pass {len(run.result['stages'])} stages in "
        f"{slots['each_way']} slots each way, so that a stage has nothing to do in "
        f"{slots['bubble']:.1%} of them (the bubble). Slots of unequal length make that "
        f"{slots['bubble'] + slots.get('imbalance', 0):.1%}; measured were "
        f"{np.mean(slots['idle'] or [0.0]):.1%}, in which stages also wait for messages and for "
        "the processor."
    )
    if stale.get("epochs"):
        said += (
            f" {stale['share_of_edges']:.1%} of the edges read a row that is up to "
            f"{stale['epochs']} epochs old."
        )
    return said


def _figure(run: Run, slots: Slots) -> Html:
    rows = [svg.Row(f"rank {rank}", spans, 18) for rank, spans in enumerate(slots)]
    ends = [(span.begin_s, span.end_s) for spans in slots for span in spans]
    begin, end = min(a for a, _ in ends), max(b for _, b in ends)
    epoch = "" if run.timeline is None else f" of epoch {run.timeline.epoch}"
    picture = svg.timeline(f"Slots{epoch}, {run.name}", rows, begin, end, _class_of)
    legend = [svg.swatch(phase_class(way), f"a chunk {way}") for way in ("forward", "backward")]
    return figure(f"Slots{epoch}: what lies between them is idle.", picture, *legend)


def _class_of(span: Span) -> str:
    return phase_class(span.name.removeprefix("chunk "))


def _stage_table(run: Run, slots: Slots) -> Html:
    """A line a rank: its layers, its slots and their seconds, how idle it was."""
    layers, idle = run.result["stages"], run.result["slots"]["idle"]
    ways = max(1, len(idle) // max(len(layers), 1))
    rows: list[list[object]] = []
    for rank, unused in enumerate(idle):
        row: list[object] = [f"rank {rank}", number(rank // ways), number(layers[rank // ways])]
        for way in (FORWARD, BACKWARD):
            spans = [span for span in slots[rank] if span.name == way] if slots else []
            taken = [span.end_s - span.begin_s for span in spans]
            row += [number(len(spans)), seconds(sum(taken)), seconds(max(taken, default=0.0))]
        rows.append([*row, share(unused)])
    each = ["slots", "seconds", "longest"]
    keys = ["", "stage", "layers", *each, *each, "idle"]
    groups = [("", 3), ("forward", 3), ("backward", 3), ("", 1)]
    bubble, more = (run.result["slots"].get(name, 0.0) for name in ("bubble", "imbalance"))
    feet: list[list[object]] = [
        [name, *[""] * 8, share(value)]
        for name, value in (("bubble", bubble), ("bubble of unequal slots", bubble + more))
    ]
    caption = "Stages: slots of the timeline's epoch; idle, the mean without the first epoch"
    return table(
        caption, keys, rows, groups=groups, foot=feet, class_="many",
        label=f"Stages of {run.name}",
    )  # fmt: skip


def _guard_table(run: Run) -> Html:
    """Every comparison of rows with exact ones."""
    read = [line for line in run.lines if "guard_loss_gap" in line]
    rows: list[list[object]] = [
        [
            f"epoch {line['epoch']}",
            number(line["guard_loss_gap"], 3),
            share(line["guard_disagreement"]),
        ]
        for line in read
    ]
    if not rows:
        return Html("")
    keys = ["", "loss gap", "predictions that differ"]
    caption = "Rows beside exact ones; the gap is a share of the loss of a guess"
    return table(caption, keys, rows, class_="many", label=f"Guard of {run.name}")
