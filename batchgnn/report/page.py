"""The report's page: its sections in order, each with its plots and the same numbers in a table."""

import time
from collections.abc import Callable, Sequence
from importlib.resources import files

from batchgnn import __version__
from batchgnn.report.classes import classes_section
from batchgnn.report.costs import balance, communication, time_section
from batchgnn.report.curves import learning
from batchgnn.report.facts import configuration, plan, summary, versions
from batchgnn.report.graph import graph_section
from batchgnn.report.html import Html, say_date, tag
from batchgnn.report.run import Run
from batchgnn.report.slots import slots_section
from batchgnn.report.spans import timeline_section
from batchgnn.report.stream import stream_section

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"Nothing may be loaded from anywhere."


def page(runs: Sequence[Run], command: str) -> str:
    """The whole HTML document; `command` is what made it."""
    sections = [(key, title, body) for key, title, make in SECTIONS if (body := make(runs))]
    title = f"BatchGNN: {', '.join(run.name for run in runs)}"
    links = [tag("li", tag("a", name, href=f"#{key}")) for key, name, _ in sections]
    parts = [tag("section", tag("h2", name), body, id=key) for key, name, body in sections]
    style = files("batchgnn.report").joinpath("page.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark">'),
        tag("title", title),
        tag("style", Html(style)),
    )
    made = say_date(time.time())
    body = tag(
        "body",
        tag("a", "Skip to the report", class_="skip", href="#main"),
        tag("header", tag("h1", title), tag("nav", tag("ul", *links), aria_label="Sections")),
        tag("main", *parts, id="main"),
        tag("footer", f"Made {made} by batchgnn {__version__}: ", tag("code", command)),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


SECTIONS: list[tuple[str, str, Callable[[Sequence[Run]], Html]]] = [
    ("summary", "Summary", summary),
    ("graph", "Graph", graph_section),
    ("learning", "Loss and scores", learning),
    ("classes", "Scores of the classes", classes_section),
    ("stream", "Along the stream", stream_section),
    ("time", "Where the time went", time_section),
    ("communication", "Communication", communication),
    ("balance", "Balance of the ranks", balance),
    ("stages", "Stages of layers", slots_section),
    ("timeline", "Timeline of an epoch", timeline_section),
    ("plan", "Plan and measurement", plan),
    ("configuration", "Configuration", configuration),
    ("versions", "Versions", versions),
]
"Anchor, title and maker of each section; one that returns nothing is left out."
