"""The plan as tables for any width of terminal: modes ranked, terms of their seconds, warnings."""

from collections.abc import Callable, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from batchgnn.base.bytes import format_bytes
from batchgnn.plan.choose import FEW_LABELS, Choice
from batchgnn.plan.prediction import TERMS, Prediction
from batchgnn.store.shard_store import Manifest

WIDEST = 10_000
"Columns of a terminal that cuts nothing, to measure in."


def trained_on(manifest: Manifest, labelled: float) -> str:
    """How many seeds there are; labelled: share of the vertices, where these are seeds."""
    if manifest.events is None and manifest.links is None:
        return f"{labelled:.1%} of the vertices"
    return f"{int(manifest.num_seeds.sum()):,} edges"


def plan_table(manifest: Manifest, choice: Choice, ranks: int, per_node: int) -> Group:
    """Everything that `batchgnn plan` says."""
    title = (
        f"{manifest.name} on {ranks} ranks, {per_node} a node: {manifest.num_vertices:,} vertices, "
        f"{manifest.num_edges:,} edges, {trained_on(manifest, choice.labelled)} trained on"
    )
    if (shares := choice.shares) is not None:
        title += f"; balance {shares.balance:.3f}, halo factor {shares.halo_factor:.3f}"
        if (cover := shares.cover_factor) is not None:
            title += f", by cover {cover:.3f}"
    said = [Text(text) for text in remarks(choice)]
    return Group(Text(title), Modes(ranked(choice)), *said)


class Modes:
    """The modes side by side, the best first, in as many tables as the width asks for."""

    def __init__(self, modes: Sequence[Prediction]):
        self.modes = modes

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Tables of as many modes as fit; one that is too wide alone is folded, never cut."""
        left = list(self.modes)
        title = "modes, the best first; an epoch of training, seconds of the slowest rank"
        while left:
            held = next(
                (n for n in range(len(left), 1, -1) if _fits(_table(left[:n]), console, options)), 1
            )
            yield Text(title, "italic")
            yield _table(left[:held])
            left, title = left[held:], "modes that follow"


def _fits(table: Table, console: Console, options: ConsoleOptions) -> bool:
    return (
        Measurement.get(console, options.update(width=WIDEST), table).minimum <= options.max_width
    )


def _table(modes: Sequence[Prediction]) -> Table:
    """A column a mode: what it costs, then every term of its seconds."""
    table = Table()
    table.add_column("", overflow="fold")
    for each in modes:
        table.add_column(each.name, justify="right", overflow="fold")
    for name, say in COSTS.items():
        table.add_row(name, *map(say, modes))
    table.add_section()
    for name in TERMS:
        table.add_row(f"{name} (s)", *(f"{each.seconds.get(name, 0.0):.3g}" for each in modes))
    table.add_row("hidden behind products (s)", *(f"{0.0 - each.hidden_s:.3g}" for each in modes))
    table.add_section()
    table.add_row("before: each byte checked (s)", *(f"{each.check_s:.3g}" for each in modes))
    return table


def _memory(each: Prediction) -> str:
    needed = unbroken(format_bytes(each.memory.total))
    return needed if each.fits else f"{needed}, too much"


def unbroken(text: str) -> str:
    """A number and its unit, which stay on one line."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


COSTS: dict[str, Callable[[Prediction], str]] = {
    "exact?": lambda each: each.exactness,
    "epoch": lambda each: unbroken(f"{each.epoch_s:.3g} s"),
    "steps": lambda each: f"{each.steps:,}",
    "sent by all": lambda each: unbroken(format_bytes(each.bytes)),
    "calls": lambda each: f"{each.calls:,.0f}",
    "memory a rank": _memory,
}
"Lines of a table, above the terms."


def ranked(choice: Choice) -> list[Prediction]:
    """As in `choice`, what `--mode auto` takes first."""
    if not choice.is_possible:
        return choice.predictions
    best = choice.best
    return [best, *(each for each in choice.predictions if each is not best)]


def remarks(choice: Choice) -> list[str]:
    """Sentences under the tables."""
    lines = []
    if choice.is_possible:
        lines.append(f"--mode auto: {choice.why}")
    else:
        lines.append(f"No mode fits. Rates {choice.rates.where}.")
    if choice.labelled < FEW_LABELS:
        exact = (each for each in choice.predictions if each.is_exact and each.is_sampled)
        sampled = " or ".join(f"--mode {each.mode}" for each in exact)
        lines.append(
            f"warning: {choice.labelled:.2%} of the vertices are trained on, under "
            f"{FEW_LABELS:.0%}: take {sampled}."
        )
    lines += [
        f"warning: {each.name} needs {format_bytes(each.memory.total)} on a rank that may use "
        f"{format_bytes(each.allowed)}; the largest part is {each.memory.largest}."
        for each in choice.predictions
        if not each.fits
    ]
    lines += [f"{each.name}: {note}." for each in choice.predictions for note in each.notes]
    lines += [f"{mode} is left out: {why}" for mode, why in choice.refused.items()]
    return lines
