"""How a section is laid out: figures with captions, beside or above their table, runs by name."""

from collections.abc import Sequence

from batchgnn.report.html import Html, join, tag
from batchgnn.report.run import Run
from batchgnn.report.style import run_class


def figure(caption: object, picture: Html, *legend: Html) -> Html:
    """A plot, its legend above and its caption below."""
    above = [tag("ul", *legend, class_="legend")] if legend else []
    return tag("figure", *above, tag("div", picture, class_="fit"), tag("figcaption", caption))


def side_by_side(*parts: Html) -> Html:
    """Figures and tables beside each other where there is room."""
    return tag("div", *parts, class_="beside")


def beside_table(figures: Sequence[Html], numbers: Html, runs: Sequence[Run]) -> Html:
    """Figures with their table: beside them for one run, below for the wider one of several."""
    if len(runs) == 1:
        return side_by_side(*figures, numbers)
    return join([side_by_side(*figures), numbers])


def run_name(n: int, run: Run) -> Html:
    """The run's name with its colour."""
    square = tag("rect", class_=f"fill {run_class(n)}", width=12, height=12)
    shown = tag("svg", square, viewBox="0 0 12 12", class_="swatch", aria_hidden="true")
    return join([shown, tag("span", run.name)])


def heads(runs: Sequence[Run]) -> list[Html]:
    """A column's head for every run."""
    return [run_name(n, run) for n, run in enumerate(runs)]
