"""The section of classes: how well each of them is found among the test vertices."""

from collections.abc import Sequence

from batchgnn.report.html import Html, join, number, table, tag
from batchgnn.report.layout import run_name, side_by_side
from batchgnn.report.run import Run

MOST_CLASSES = 40
"Classes of a run that are shown; result.json has all."

COLUMNS = {
    "test vertices": "vertices",
    "predicted": "predicted",
    "precision": "precision",
    "recall": "recall",
    "F1": "f1",
}


def classes_section(runs: Sequence[Run]) -> Html:
    """Of every run whose vertices have classes; nothing where none's have."""
    tables = [_table(n, run) for n, run in enumerate(runs) if run.result.get("class_scores")]
    explained = (
        "By the best model, of the test split. Precision: which part of the vertices that were "
        "given the class have it; recall: which part of those that have it were given it; F1: "
        "their harmonic mean. A dash stands where there is nothing to divide by."
    )
    return join([tag("p", explained), side_by_side(*tables)]) if tables else Html("")


def _table(n: int, run: Run) -> Html:
    """The most frequent classes, as test vertices have them."""
    scores: dict[str, dict[str, float | None]] = run.result["class_scores"]
    often = sorted(scores, key=lambda name: -(scores[name].get("vertices") or 0))[:MOST_CLASSES]
    rows: list[list[object]] = [
        [name, *(number(scores[name].get(key)) for key in COLUMNS.values())] for name in often
    ]
    more = f": the {len(often)} most frequent of {len(scores):,} classes"
    said = more if len(often) < len(scores) else ""
    caption = join(["Scores of the classes of ", run_name(n, run), said])
    return table(
        caption, ["class", *COLUMNS], rows, label=f"Scores of classes of {run.name}", class_="many"
    )
