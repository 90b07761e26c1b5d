"""The report's page: its sections in order, each with its plots and the same numbers in a table."""

import time
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files

from batchgnn import __version__
from batchgnn.report import svg
from batchgnn.report.html import (
    NOTHING,
    Cell,
    Html,
    escape,
    join,
    number,
    seconds,
    share,
    size,
    table,
    tag,
)
from batchgnn.report.run import WAITING, Run, phases_of, stack_of, wall_seconds
from batchgnn.report.spans import timeline_section
from batchgnn.report.style import lane_order, phase_class, phase_order, run_class

MOST_BARS = 60
"Epochs that a plot of stacked seconds shows one by one; more are averaged in groups."

MOST_RANKS = 64
"Ranks that a plot of balance shows; the table has all."

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"Nothing may be loaded from anywhere."

NUMBERS_OF_PLAN = {"s": seconds, "bytes": size}


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
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    body = tag(
        "body",
        tag("a", "Skip to the report", class_="skip", href="#main"),
        tag("header", tag("h1", title), tag("nav", tag("ul", *links), aria_label="Sections")),
        tag("main", *parts, id="main"),
        tag("footer", f"Made {made} by batchgnn {__version__}: ", tag("code", command)),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


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


def summary(runs: Sequence[Run]) -> Html:
    """What each run was and what came of it."""
    rows = [[name, *(value(run) for run in runs)] for name, value in SUMMARY.items()]
    rows = [row for row in rows if any(_says(cell) for cell in row[1:])]
    notes = [tag("li", tag("strong", f"{run.name}: "), note) for run in runs for note in run.notes]
    return join(
        [
            table("Runs", ["", *heads(runs)], rows, class_="facts", label="Summary of the runs"),
            tag("ul", *notes, class_="notes") if notes else "",
        ]
    )


def _says(cell: object) -> bool:
    return cell.value is not None if isinstance(cell, Cell) else bool(cell)


def _model(run: Run) -> str:
    said = [run.settings.get("model", "?"), f"{run.settings.get('layers', '?')} layers"]
    return ", ".join([*said, f"hidden width {run.settings.get('hidden', '?')}"])


def _ranks(run: Run) -> str:
    ranks, threads = run.num_ranks, run.result.get("threads")
    hosts = len(set(run.result.get("hosts", [])))
    said = f"{ranks} rank{'s' if ranks > 1 else ''}"
    said += f" on {hosts} nodes" if hosts > 1 else ""
    return said + (f", {threads} thread{'s' if threads > 1 else ''} each" if threads else "")


def _score(split: str) -> Callable[[Run], Cell]:
    return lambda run: number(run.result.get(f"{split}_{run.metric}"))


def _peak(run: Run) -> float | None:
    return max((max(line.get("peak_memory_bytes", [0])) for line in run.lines), default=0) or None


def _total(name: str) -> Callable[[Run], float | None]:
    def total(run: Run) -> float | None:
        if not any(name in line for line in run.lines):
            return None
        return run.mean(lambda line: sum(line.get(name, {}).values()))

    return total


SUMMARY: dict[str, Callable[[Run], object]] = {
    "Folder": lambda run: str(run.path),
    "State": lambda run: run.state,
    "Mode": lambda run: run.settings.get("mode", "?"),
    "Exactness": lambda run: run.exactness,
    "Model": _model,
    "Ranks": _ranks,
    "Epochs": lambda run: number(len(run.lines)),
    "Best epoch": lambda run: number(run.result.get("best_epoch")),
    "Score": lambda run: run.metric,
    "Validation score": _score("val"),
    "Test score": _score("test"),
    "Seconds an epoch": lambda run: seconds(run.mean(lambda line: line["seconds"])),
    "First epoch": lambda run: seconds(run.lines[0]["seconds"]),
    "Evaluation": lambda run: seconds(run.mean(lambda line: line.get("evaluate_seconds"))),
    "Bytes sent an epoch": lambda run: size(_total("collective_bytes")(run)),
    "Collective calls an epoch": lambda run: number(_total("collective_calls")(run), 1),
    "Input rows, distinct part": lambda run: share(run.mean(lambda li: li.get("deduplication"))),
    "Remote rows found in the cache": lambda run: share(run.result.get("feature_cache_hit_rate")),
    "Peak memory of a rank": lambda run: size(_peak(run)),
    "Parameters": lambda run: number(run.result.get("num_parameters")),
}
"Rows of the summary; one that says nothing of any run is left out."


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


def time_section(runs: Sequence[Run]) -> Html:
    """Seconds by phase: stacked for each epoch, and means."""
    if not any(phases_of(line) for run in runs for line in run.lines):
        return Html("")
    names = phase_order(name for run in runs for line in run.lines for name in _phases(line))
    legend = [svg.swatch(phase_class(name), name) for name in [*names, "other"]]
    top = svg.nice_top([max(_heights(line)) for run in runs for line in run.settled])
    figures = [
        figure(
            join([run_name(n, run), f". {_bars_say(run)}"]),
            svg.stacks(
                f"Seconds of each epoch of {run.name} by phase", *_bars(run), top,
                (0.4, len(run.lines) + 0.6), "epoch", "seconds",
            ),
        )
        for n, run in enumerate(runs)
    ]  # fmt: skip
    explained = (
        "Mean over ranks. “other” is what of an epoch and its evaluation lies in no phase of the "
        "main thread. Phases of a background thread run while the main thread works: “wait” is "
        "how much of them was not hidden."
    )
    return join(
        [
            tag("p", explained),
            tag("ul", *legend, class_="legend"),
            beside_table(figures, _phase_table(runs), runs),
        ]
    )


def _phases(line: dict) -> list[str]:
    return [name for phases in phases_of(line).values() for name in phases]


def _heights(line: dict) -> list[float]:
    return [sum(phases.values()) for phases in stack_of(line).values()] or [0.0]


def _bars_say(run: Run) -> str:
    lanes = lane_order(lane for line in run.lines for lane in phases_of(line))
    said = f"Bars of an epoch, from the left: {', '.join(lanes)} thread."
    step = -(-len(run.lines) // MOST_BARS)
    return said + (f" A bar is the mean of {step} epochs." if step > 1 else "")


def _bars(run: Run) -> tuple[list[svg.Bar], float]:
    """A bar an epoch (or group of epochs) and lane; their width on the axis."""
    step = -(-len(run.lines) // MOST_BARS)
    lanes = lane_order(lane for line in run.lines for lane in phases_of(line))
    width = 0.84 * step / max(len(lanes), 1)
    bars = []
    for first in range(0, len(run.lines), step):
        group = [stack_of(line) for line in run.lines[first : first + step]]
        epochs = [line["epoch"] for line in run.lines[first : first + step]]
        said = f"epoch {epochs[0]}" if len(epochs) == 1 else f"epochs {epochs[0]}-{epochs[-1]}"
        left = (epochs[0] + epochs[-1]) / 2 - width * (len(lanes) - 1) / 2
        for k, lane in enumerate(lanes):
            held = [stack.get(lane, {}) for stack in group]
            names = phase_order(name for each in held for name in each)
            parts = [
                (phase_class(name), name, sum(each.get(name, 0.0) for each in held) / len(held))
                for name in names
            ]
            bars.append(svg.Bar(left + k * width, f"{said}, {lane}", parts))
    return bars, width


def _phase_table(runs: Sequence[Run]) -> Html:
    """Mean seconds of each phase, what share of the epoch that is, and the slowest rank's."""
    means = [run.phase_means() for run in runs]
    rows = []
    for lane in lane_order(lane for each in means for lane in each):
        for name in phase_order(name for each in means for name in each.get(lane, {})):
            cells: list[object] = [f"{name} ({lane})"]
            for run, mean in zip(runs, means, strict=True):
                ranks = mean.get(lane, {}).get(name)
                if ranks is None:
                    cells += [seconds(None), share(None), seconds(None)]
                    continue
                middle, wall = sum(ranks) / len(ranks), run.mean(wall_seconds) or 1.0
                cells += [seconds(middle), share(middle / wall), seconds(max(ranks))]
            rows.append(cells)
    rest = [run.mean(lambda line: stack_of(line).get("main", {}).get("other")) for run in runs]
    other: list[object] = ["other (main)"]
    for run, unnamed in zip(runs, rest, strict=True):
        part = None if unnamed is None else unnamed / (run.mean(wall_seconds) or 1.0)
        other += [seconds(unnamed), share(part), ""]
    total: list[object] = ["epoch with evaluation"]
    for run in runs:
        total += [seconds(run.mean(wall_seconds)), share(1.0), ""]
    keys = ["phase", *["mean of ranks", "share", "slowest rank"] * len(runs)]
    groups = [("", 1), *((head, 3) for head in heads(runs))]
    caption = "Seconds an epoch by phase (means without the first epoch)"
    return table(caption, keys, [*rows, other], groups=groups, foot=[total], class_="many")


def communication(runs: Sequence[Run]) -> Html:
    """Bytes and calls of each collective."""
    names = list(dict.fromkeys(name for run in runs for name in run.names("collective_bytes")))
    if not names:
        return tag("p", "One rank alone: nothing was sent.")
    names.sort(key=lambda name: -max(run.mean_of("collective_bytes", name) for run in runs))
    rows = [[name, *_collective(runs, name)] for name in names]
    total: list[object] = ["all"]
    for run in runs:
        calls, sent = _total("collective_calls")(run), _total("collective_bytes")(run)
        total += [number(calls, 1), size(sent), ""]
    keys = ["collective", *["calls", "bytes of all ranks", "seconds, slowest rank"] * len(runs)]
    groups = [("", 1), *((head, 3) for head in heads(runs))]
    caption = "Collectives an epoch (means without the first epoch)"
    figures = [
        figure(
            join([run_name(n, run), ". Bytes sent an epoch, by collective."]),
            svg.rows(f"Bytes by collective of {run.name}", bars, _say_size),
        )
        for n, run in enumerate(runs)
        if (bars := _sent(n, run, names))
    ]
    numbers = table(caption, keys, rows, groups=groups, foot=[total], class_="many")
    return beside_table(figures, numbers, runs)


def _say_size(value: float) -> str:
    return size(value).text


def _sent(n: int, run: Run, names: Sequence[str]) -> list[svg.Bar]:
    here = [name for name in names if run.mean_of("collective_bytes", name)]
    return [
        svg.Bar(0, name, [(f"fill {run_class(n)}", "sent", run.mean_of("collective_bytes", name))])
        for name in here
    ]


def _collective(runs: Sequence[Run], name: str) -> Iterator[Cell]:
    for run in runs:
        if name not in run.names("collective_bytes"):
            yield from (number(None), size(None), seconds(None))
            continue
        yield number(run.mean_of("collective_calls", name), 1)
        yield size(run.mean_of("collective_bytes", name))
        yield seconds(run.mean_of("collective_seconds", name))


def balance(runs: Sequence[Run]) -> Html:
    """What each rank had and did."""
    known = [(n, run) for n, run in enumerate(runs) if run.rank_means("rank_sent_bytes")]
    names = phase_order(name for _, run in known for line in run.settled for name in _phases(line))
    legend = tag("ul", *(svg.swatch(phase_class(name), name) for name in names), class_="legend")
    figures = [_rank_figure(n, run) for n, run in known]
    parts = [legend, side_by_side(*figures), *(_rank_table(n, run) for n, run in known)]
    explained = (
        "Mean seconds an epoch of each rank. Busy is what its threads computed, sampled and "
        "fetched; waiting (wait, allreduce) is for data or for slower ranks. The last line is the "
        "largest over the mean: 1 is perfect balance."
    )
    return join([tag("p", explained), *parts]) if known else Html("")


def _rank_figure(n: int, run: Run) -> Html:
    means = run.phase_means()
    lanes = lane_order(means)
    count = min(run.num_ranks, MOST_RANKS)
    bars = [
        svg.Bar(
            0,
            f"rank {rank}, {lane}",
            [(phase_class(p), p, means[lane][p][rank]) for p in phase_order(means[lane])],
        )
        for rank in range(count)
        for lane in lanes
    ]
    more = f" The first {count} of {run.num_ranks} ranks." if count < run.num_ranks else ""
    caption = join([run_name(n, run), f". Seconds an epoch of each rank, by phase.{more}"])
    picture = svg.rows(f"Seconds of each rank of {run.name}", bars, lambda s: seconds(s).text)
    return figure(caption, picture)


def _rank_table(n: int, run: Run) -> Html:
    means, result, ranks = run.phase_means(), run.result, range(run.num_ranks)
    work = {
        (lane, waits): [
            sum(each[r] for name, each in phases.items() if (name in WAITING) == waits)
            for r in ranks
        ]
        for lane, phases in means.items()
        for waits in (False, True)
    }
    columns: dict[str, tuple[Callable, Sequence]] = {
        "vertices": (number, result.get("rank_vertices", [])),
        "in-edges": (number, result.get("rank_edges", [])),
        "training vertices": (number, result.get("rank_seeds", [])),
        "busy (main)": (seconds, work.get(("main", False), [])),
        "waiting (main)": (seconds, work.get(("main", True), [])),
        "busy (background)": (seconds, work.get(("background", False), [])),
        "sent": (size, run.rank_means("rank_sent_bytes")),
        "peak memory": (size, run.lines[-1].get("peak_memory_bytes", [])),
    }
    columns = {name: each for name, each in columns.items() if len(each[1]) == run.num_ranks}
    hosts = result.get("hosts", [])
    rows: list[list[object]] = [
        [
            f"{r} on {hosts[r]}" if len(hosts) == run.num_ranks else r,
            *(say(values[r]) for say, values in columns.values()),
        ]
        for r in ranks
    ]
    worst: list[object] = ["max / mean"]
    for _, values in columns.values():
        mean = sum(values) / len(values)
        worst.append(number(max(values) / mean, 3) if mean else NOTHING)
    caption = join(["Ranks of ", run_name(n, run)])
    return table(
        caption, ["rank", *columns], rows, foot=[worst], label=f"Ranks of {run.name}", class_="many"
    )


def plan(runs: Sequence[Run]) -> Html:
    """What `batchgnn plan` predicted, beside what was measured (DESIGN section 11)."""
    tables = []
    for n, run in enumerate(runs):
        planned = run.result.get("plan")
        if not planned:
            continue
        rows = []
        for term in planned["terms"]:
            say = NUMBERS_OF_PLAN.get(term["unit"], number)
            predicted, measured = term.get("predicted"), term.get("measured")
            ratio = measured / predicted if predicted and measured is not None else None
            rows.append([term["name"], say(predicted), say(measured), number(ratio, 2)])
        keys = ["term", "predicted", "measured", "measured / predicted"]
        caption = join(["Plan of ", run_name(n, run)])
        why = [tag("p", planned["why"])] if planned.get("why") else []
        numbers = table(caption, keys, rows, label=f"Plan of {run.name}", class_="many")
        tables += [*why, numbers]
    return join(tables)


def configuration(runs: Sequence[Run]) -> Html:
    """Every setting, resolved; those that differ between the runs are marked."""
    rows = _compared([run.settings for run in runs])
    caption = "Settings, as resolved" + (" (≠: they differ)" if len(runs) > 1 else "")
    return table(caption, ["setting", *heads(runs)], rows, class_="facts")


def versions(runs: Sequence[Run]) -> Html:
    """Versions of what the runs used."""
    held = [run.result.get("versions", {}) for run in runs]
    if not any(held):
        return Html("")
    return table("Versions", ["", *heads(runs)], _compared(held), class_="facts")


def _compared(tables: Sequence[dict]) -> list[list[object]]:
    """A row for each key of any table."""
    rows: list[list[object]] = []
    for key in dict.fromkeys(key for each in tables for key in each):
        values = [each.get(key, NOTHING) for each in tables]
        differ = any(value != values[0] for value in values)
        head = join([tag("span", "≠ ", class_="differs"), escape(key)]) if differ else key
        rows.append([head, *(Cell(_said(value), kind="text") for value in values)])
    return rows


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


SECTIONS: list[tuple[str, str, Callable[[Sequence[Run]], Html]]] = [
    ("summary", "Summary", summary),
    ("learning", "Loss and scores", learning),
    ("time", "Where the time went", time_section),
    ("communication", "Communication", communication),
    ("balance", "Balance of the ranks", balance),
    ("timeline", "Timeline of an epoch", timeline_section),
    ("plan", "Plan and measurement", plan),
    ("configuration", "Configuration", configuration),
    ("versions", "Versions", versions),
]
"Anchor, title and maker of each section; one that returns nothing is left out."
