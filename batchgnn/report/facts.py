"""Sections of facts: what each run was, its plan beside its measurement, settings, versions."""

from collections.abc import Callable, Sequence

from batchgnn.report.html import (
    NOTHING,
    STAR,
    Cell,
    Html,
    escape,
    join,
    number,
    say_date,
    seconds,
    share,
    size,
    starred,
    table,
    tag,
)
from batchgnn.report.layout import heads, run_name
from batchgnn.report.run import Run
from batchgnn.run.run_scores import best_runs

NUMBERS_OF_PLAN = {"s": seconds, "bytes": size}


def summary(runs: Sequence[Run]) -> Html:
    """What each run was and what came of it."""
    rows = [[name, *(value(run) for run in runs)] for name, value in ABOUT.items()]
    rows += _score_rows(runs)
    rows += [[name, *(value(run) for run in runs)] for name, value in COSTS.items()]
    rows = [row for row in rows if any(_says(cell) for cell in row[1:])]
    caption = f"Runs ({STAR}: the best validation score)" if len(runs) > 1 else "Runs"
    notes = [tag("li", tag("strong", f"{run.name}: "), note) for run in runs for note in run.notes]
    return join(
        [
            table(caption, ["", *heads(runs)], rows, class_="facts", label="Summary of the runs"),
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


def _peak(run: Run) -> float | None:
    return max((max(line.get("peak_memory_bytes", [0])) for line in run.lines), default=0) or None


def _date(seconds_s: float | None) -> str | None:
    return None if seconds_s is None else say_date(seconds_s)


def _score_rows(runs: Sequence[Run]) -> list[list[object]]:
    """Scores at the best epoch: those that chose it, then the others by name."""
    val = [number(run.scores.at_best("val")) for run in runs]
    for n in best_runs([run.scores for run in runs]):
        val[n] = starred(val[n])
    test = [number(run.scores.at_best("test")) for run in runs]
    rows: list[list[object]] = [["Validation score", *val], ["Test score", *test]]
    others = dict.fromkeys(name for run in runs for name in run.scores.names[1:])
    for name in others:
        for split, word in (("val", "Validation"), ("test", "Test")):
            cells = [number(run.scores.at_best(split, name)) for run in runs]
            rows.append([f"{word} {name}", *cells])
    return rows


def _metric(run: Run) -> str | None:
    scores = run.scores
    return None if scores.metric is None else f"{scores.metric} ({scores.direction})"


def _guard(run: Run) -> str | None:
    """The last comparison of approximate rows with exact ones, and what came of it."""
    guard = run.result.get("guard", {})
    if not guard.get("epoch"):
        return None
    said = f"epoch {guard['epoch']}: loss gap {guard['loss_gap']:.3g}, "
    said += f"{guard['disagreement']:.1%} of the predictions differ"
    return said + ("; exact from there on" if guard.get("exact_from") else "")


ABOUT: dict[str, Callable[[Run], object]] = {
    "Folder": lambda run: str(run.path),
    "State": lambda run: run.state,
    "Training began": lambda run: _date(run.began_s),
    "Last epoch ended": lambda run: _date(run.ended_s),
    "Mode": lambda run: run.settings.get("mode", "?"),
    "Exactness": lambda run: run.exactness,
    "Model": _model,
    "Ranks": _ranks,
    "Layers of each stage": lambda run: ", ".join(map(str, run.result.get("stages", []))),
    "Rows beside exact ones": _guard,
    "Slices, slots, copies": lambda run: ", ".join(map(str, run.result.get("ways", []))),
    "Updates that batches lose": lambda run: share(run.result.get("updates_lost")),
    "Epochs": lambda run: number(len(run.lines)),
    "Best epoch": lambda run: number(run.scores.best_epoch),
    "Score": _metric,
}
COSTS: dict[str, Callable[[Run], object]] = {
    "Seconds an epoch": lambda run: seconds(run.mean(lambda line: line["seconds"])),
    "First epoch": lambda run: seconds(run.lines[0]["seconds"]),
    "Evaluation": lambda run: seconds(run.mean(lambda line: line.get("evaluate_seconds"))),
    "Events a second": lambda run: number(run.result.get("events_per_second")),
    "Bytes sent an epoch": lambda run: size(run.mean_total("collective_bytes")),
    "Collective calls an epoch": lambda run: number(run.mean_total("collective_calls"), 1),
    "Input rows, distinct part": lambda run: share(run.mean(lambda li: li.get("deduplication"))),
    "Remote rows found in the cache": lambda run: share(run.result.get("feature_cache_hit_rate")),
    "Peak memory of a rank": lambda run: size(_peak(run)),
    "Parameters": lambda run: number(run.result.get("num_parameters")),
}
"Rows of the summary, above its scores and below; one that says nothing of any run is left out."


def plan(runs: Sequence[Run]) -> Html:
    """What `batchgnn plan` predicted, beside what was measured."""
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
