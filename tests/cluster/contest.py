"""Tensor against graph parallelism on emulated hosts, each beside what the planner predicted.

`python tests/cluster/contest.py SHARDS [OPTIONS OF TRAIN]`, as root. On the hosts `batchgnn plan
--calibrate` measures and predicts, then each mode trains. The ranks, one of one thread on each
host, share this machine's cores: what they compute takes longer than on hosts of their own, in what
is measured and, because it is calibrated there, in what is predicted.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE.parent)]

from cluster.hosts import Cluster, emulated  # noqa: E402
from cluster.namespaces import why_not  # noqa: E402

from batchgnn.plan.rates import rates_path  # noqa: E402

MODES = ("fullgraph", "tensor")
SETTINGS = ("--model", "gcn", "--layers", "3", "--hidden", "256", "--threads", "1")
EPOCHS = 4
LIMIT_S = 600


@dataclass(frozen=True)
class Contender:
    """A mode that was trained: the terms of its plan, as `plan` of result.json has them.

    seconds   of each epoch; the first, which also loads kernels, does not count
    """

    mode: str
    seconds: list[float]
    terms: list[dict[str, Any]]

    def term(self, name: str) -> tuple[float, float]:
        """What was predicted and what was measured of it."""
        found = next(each for each in self.terms if each["name"] == name)
        return found["predicted"], found["measured"]

    @property
    def predicted_s(self) -> float:
        """An epoch, as planned."""
        return self.term("epoch")[0]

    @property
    def measured_s(self) -> float:
        """An epoch, as it was: the mean without the first."""
        return self.term("epoch")[1]


@dataclass(frozen=True)
class Contest:
    """What `batchgnn plan --json` said on the hosts, and what came of it."""

    plan: dict[str, Any]
    contenders: list[Contender]

    def quickest(self, seconds: str) -> str:
        """The mode with the shortest epoch by "predicted_s" or "measured_s"."""
        return min(self.contenders, key=lambda each: getattr(each, seconds)).mode


def contest(
    shards: Path,
    settings: Sequence[str] = SETTINGS,
    *,
    hosts: int = 4,
    rate: str | None = "1gbit",
    epochs: int = EPOCHS,
) -> Contest:
    """Calibrate, plan and train on hosts that are made for it and gone afterwards.

    settings: options of `train`; needs root and the cores to itself
    """
    rates = rates_path(hosts, "n1")
    try:
        with emulated(hosts, rate) as cluster, tempfile.TemporaryDirectory() as runs:
            said = on_hosts(cluster, "plan", shards, "--calibrate", "--json", *settings)
            plan = json.loads(said[said.index("{") :])
            found = []
            for mode in (name for name, kind in MODES.items() if not kind.of_events):
                run = Path(runs) / mode
                options = ["--mode", mode, "--epochs", epochs, "--eval-every", epochs, *settings]
                on_hosts(cluster, "train", shards, "--run", run, *options)
                found.append(contender_of(run, mode))
            return Contest(plan, found)
    finally:
        rates.unlink(missing_ok=True)


def on_hosts(cluster: Cluster, *arguments: object) -> str:
    """`batchgnn ARGUMENTS` with a rank of one thread on each host; what it printed.

    Raises CalledProcessError.
    """
    names = list(cluster.hosts)
    launch = ["launch", "-n", len(names), "--hosts", ",".join(names), "--threads", 1, "--no-bind"]
    words = [sys.executable, "-m", "batchgnn", *launch, "--", *arguments]
    options = {"stdout": subprocess.PIPE, "text": True, "env": {"PYTHONPATH": str(ROOT)}}
    done = cluster.run([str(word) for word in words], timeout_s=LIMIT_S, **options)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, done.args, done.stdout)
    return done.stdout


def contender_of(run: Path, mode: str) -> Contender:
    """What a finished run says of itself."""
    result = json.loads((run / "result.json").read_text())
    lines = (run / "metrics.jsonl").read_text().splitlines()
    seconds = [json.loads(line)["seconds"] for line in lines]
    return Contender(mode, seconds, result["plan"]["terms"])


def table_of(found: Contest) -> Table:
    """Every term of both modes, predicted and measured."""
    plan = found.plan
    title = (
        f"{plan['graph']}: rho {plan['rho']:.3f}, kappa {plan['kappa']:.3f}; rates {plan['rates']}"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("term")
    for each in found.contenders:
        for heading in (f"{each.mode}, predicted", "measured", "x"):
            table.add_column(heading, justify="right")
    for name, unit in [(term["name"], term["unit"]) for term in found.contenders[0].terms]:
        cells = [cell for each in found.contenders for cell in _cells(*each.term(name), unit)]
        table.add_row(name, *cells)
    return table


def _cells(predicted: float | None, measured: float | None, unit: str) -> list[str]:
    """A prediction, its measurement, and their quotient; empty where there is none."""
    as_text = "{:.3g}" if unit == "s" else "{:,.0f}"
    cells = ["" if each is None else as_text.format(each) for each in (predicted, measured)]
    return [*cells, f"{predicted / measured:.2f}" if predicted and measured else ""]


app = App(name="contest", help=__doc__)


@app.default
def command(
    shards: Path,
    /,
    *settings: Annotated[str, Parameter(allow_leading_hyphen=True)],
    hosts: int = 4,
    rate: str = "1gbit",
    epochs: int = EPOCHS,
) -> None:
    """Print predictions beside measurements.

    Parameters
    ----------
    shards
        shard store, cut into as many shards as hosts: estimates of its halo are exact then
    settings
        options of `train`, by default those of a GCN of 3 layers, 256 wide
    hosts
        emulated hosts, with one rank of one thread each
    rate
        of every link in both directions
    epochs
        of each mode; the first does not count
    """
    if reason := why_not():
        sys.exit(f"contest: {reason}")
    found = contest(shards, settings or SETTINGS, hosts=hosts, rate=rate, epochs=epochs)
    console = Console(width=160)
    console.print(table_of(found))
    console.print(found.plan["rate_values"])
    for each in found.contenders:
        console.print(f"{each.mode}: seconds of the epochs", *(f"{s:.2f}" for s in each.seconds))
    console.print(f"`batchgnn plan`: {found.plan['why']}")


if __name__ == "__main__":
    app()
