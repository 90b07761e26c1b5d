"""The section of the graph: its size, and how many vertices each class has."""

from collections.abc import Sequence

from batchgnn.report.html import NOTHING, Cell, Html, join, number, table
from batchgnn.report.layout import heads, run_name
from batchgnn.report.run import Run

ROLES = ("no role", "training", "validation", "test")
"Columns of `class_counts` in result.json."

SIZE = {
    "Vertices": "vertices",
    "Edges": "edges",
    "Features of a vertex": "features",
    "Classes": "classes",
}


def graph_section(runs: Sequence[Run]) -> Html:
    """Of every run that says what its graph was; a graph's classes once."""
    sizes = [run.result.get("graph", {}) for run in runs]
    if not any(sizes):
        return Html("")
    rows: list[list[object]] = [
        ["Graph", *(each.get("name", "") for each in sizes)],
        ["Directions", *(each.get("kind", "") for each in sizes)],
        *([said, *(_count(each.get(key)) for each in sizes)] for said, key in SIZE.items()),
    ]
    shown: list[dict] = []
    tables = []
    for n, run in enumerate(runs):
        counts = run.result.get("class_counts")
        if counts and counts not in shown:
            shown.append(counts)
            tables.append(_classes(n, run))
    return join([table("Graph", ["", *heads(runs)], rows, class_="facts"), *tables])


def _count(value: object) -> Cell:
    return number(value) if isinstance(value, int) else Cell(NOTHING)


def _classes(n: int, run: Run) -> Html:
    """Vertices with a label of each class, by what they are for."""
    rows: list[list[object]] = []
    counts: dict[str, list[int]] = run.result["class_counts"]
    everything = sum(map(sum, counts.values())) or 1
    for name, roles in counts.items():
        part = Cell(f"{100 * sum(roles) / everything:.1f} %", sum(roles) / everything)
        rows.append([name, number(sum(roles)), part, *map(number, roles)])
    caption = join(["Classes of ", run_name(n, run), ": vertices with a label"])
    keys = ["class", "vertices", "share", *ROLES]
    return table(caption, keys, rows, label=f"Classes of {run.name}", class_="many")
