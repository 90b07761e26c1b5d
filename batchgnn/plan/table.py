"""The plan as tables for a terminal: modes ranked, every term of their seconds, warnings."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from batchgnn.base.bytes import format_bytes
from batchgnn.modes.kinds import MODES
from batchgnn.plan.choose import FEW_LABELS, Choice
from batchgnn.plan.prediction import TERMS, Prediction
from batchgnn.store.shard_store import Manifest


def plan_table(manifest: Manifest, choice: Choice, ranks: int, per_node: int) -> Group:
    """Everything that `batchgnn plan` says."""
    title = (
        f"{manifest.name} on {ranks} ranks, {per_node} a node: {manifest.num_vertices:,} vertices, "
        f"{manifest.num_edges:,} edges, {choice.labelled:.1%} of the vertices trained on"
    )
    if (shares := choice.shares) is not None:
        title += f"; balance {shares.balance:.3f}, halo factor {shares.halo_factor:.3f}"
    said = [Text(text) for text in remarks(choice)]
    return Group(Text(title), _modes(choice), _terms(choice), *said)


def _modes(choice: Choice) -> Table:
    table = Table(title="modes, the best first; an epoch of training", title_justify="left")
    for name in ("mode", "exact?", "epoch", "steps", "sent by all", "calls", "memory a rank"):
        table.add_column(name, justify="left" if name in ("mode", "exact?") else "right")
    for each in ranked(choice):
        memory = format_bytes(each.memory.total)
        table.add_row(
            each.name,
            each.exactness,
            f"{each.epoch_s:.3g} s",
            f"{each.steps:,}",
            format_bytes(each.bytes),
            f"{each.calls:,.0f}",
            memory if each.fits else f"{memory}, too much",
        )
    return table


def _terms(choice: Choice) -> Table:
    table = Table(title="seconds of the slowest rank in an epoch", title_justify="left")
    table.add_column("term", no_wrap=True)
    modes = ranked(choice)
    for each in modes:
        table.add_column(each.name, justify="right")
    for name in TERMS:
        table.add_row(name, *(f"{each.seconds.get(name, 0.0):.3g}" for each in modes))
    table.add_row("hidden behind products", *(f"{-each.hidden_s:.3g}" for each in modes))
    table.add_section()
    table.add_row("before: each byte checked", *(f"{each.check_s:.3g}" for each in modes))
    return table


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
        sampled = " or ".join(f"--mode {k.name}" for k in MODES.values() if not k.whole_graph)
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
