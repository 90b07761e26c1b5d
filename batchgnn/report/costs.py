"""The sections of costs: seconds by phase and epoch, bytes by collective, seconds by rank."""

from collections.abc import Callable, Iterator, Sequence

from batchgnn.report import svg
from batchgnn.report.html import (
    NOTHING,
    Cell,
    Html,
    join,
    number,
    seconds,
    share,
    size,
    table,
    tag,
)
from batchgnn.report.layout import beside_table, figure, heads, run_name, side_by_side
from batchgnn.report.run import WAITING, Run, phases_of, stack_of, wall_seconds
from batchgnn.report.style import lane_order, phase_class, phase_order, run_class

MOST_BARS = 60
"Epochs that a plot of stacked seconds shows one by one; more are averaged in groups."

MOST_RANKS = 64
"Ranks that a plot of balance shows; the table has all."


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
                (0.4, len(run.lines) + 0.6), "epoch", "time",
            ),
        )
        for n, run in enumerate(runs)
    ]  # fmt: skip
    explained = (
        "Mean over ranks. “other” is what of an epoch and its evaluation lies in no phase of the "
        "main thread. Phases of other threads run while the main thread works: “wait” is "
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
        calls, sent = run.mean_total("collective_calls"), run.mean_total("collective_bytes")
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
        **{
            f"busy ({lane})": (seconds, work[lane, False])
            for lane in lane_order(means)
            if lane != "main"
        },
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
