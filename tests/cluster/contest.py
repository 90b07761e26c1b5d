"""Modes against each other on emulated hosts, each beside what the planner predicted.

`python tests/cluster/contest.py SHARDS [OPTIONS OF TRAIN]`, as root. On the hosts `batchgnn plan
--calibrate` measures and predicts, then each mode trains. The ranks, one of one thread on each
host, share this machine's cores: what they compute takes longer than on hosts of their own, in what
is measured and, because it is calibrated there, in what is predicted. What it would take on hosts
of their own is predicted besides, by the rates of one rank that has a core to itself.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE.parent)]

from cluster.hosts import Cluster, emulated  # noqa: E402
from cluster.namespaces import bits_per_second, why_not  # noqa: E402

from batchgnn.plan.beside import rates_of  # noqa: E402
from batchgnn.plan.rates import Link, rates_path, write_rates  # noqa: E402
from batchgnn.store.shard_store import read_manifest  # noqa: E402

MODES = ("fullgraph", "tensor")
SETTINGS = ("--model", "gcn", "--layers", "3", "--hidden", "256", "--threads", "1")
EPOCHS = 4
LIMIT_S = 600
BATCHGNN = [sys.executable, "-m", "batchgnn"]
CARRIED = 0.94
"Of a link's bits, in full frames of TCP over Ethernet."


@dataclass(frozen=True)
class Contender:
    """A mode that was trained: the terms of its plan, as `plan` of result.json has them.

    seconds    of each epoch; the first, which also loads kernels, does not count
    halo_rows  that all ranks fetch for an aggregation
    """

    mode: str
    seconds: list[float]
    terms: list[dict[str, Any]]
    halo_rows: float

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

    @property
    def sent_bytes(self) -> float:
        """By all ranks in an epoch, as counted."""
        return self.term("sent by all ranks in an epoch")[1]


@dataclass(frozen=True)
class Contest:
    """What `batchgnn plan --json` said on the hosts, and what came of it.

    real  the same of hosts with a core for each rank, of which none was measured
    """

    plan: dict[str, Any]
    contenders: list[Contender]
    real: dict[str, Any]

    def real_s(self, mode: str) -> float:
        """Seconds of an epoch that `real` predicts."""
        return _of_mode(self.real, mode)["seconds"]

    def quickest(self, seconds: str) -> str:
        """The mode with the shortest epoch by "predicted_s" or "measured_s"."""
        return min(self.contenders, key=lambda each: getattr(each, seconds)).mode


def contest(
    shards: Path,
    settings: Sequence[str] = SETTINGS,
    *,
    hosts: int = 4,
    rate: str = "1gbit",
    epochs: int = EPOCHS,
    modes: Sequence[str] = MODES,
) -> Contest:
    """Calibrate, plan and train on hosts that are made for it and gone afterwards.

    settings: options of `train`; needs root and the cores to itself
    """
    files = [rates_path(n, "n1") for n in (1, hosts)]
    try:
        with emulated(hosts, rate) as cluster, tempfile.TemporaryDirectory() as runs:
            calibrate = ["plan", shards, "--calibrate", "--json", *settings]
            on_hosts(cluster, 1, *calibrate)
            plan = _json(on_hosts(cluster, hosts, *calibrate))
            real = plan_of_real_hosts(shards, settings, hosts, rate)
            found = []
            for mode in modes:
                run = Path(runs) / mode
                options = ["--mode", mode, "--epochs", epochs, "--eval-every", epochs, *settings]
                on_hosts(cluster, hosts, "train", shards, "--run", run, *options)
                found.append(contender_of(run, mode))
            return Contest(plan, found, real)
    finally:
        for path in files:
            path.unlink(missing_ok=True)


def plan_of_real_hosts(
    shards: Path, settings: Sequence[str], hosts: int, rate: str
) -> dict[str, Any]:
    """`batchgnn plan --json` by what one rank was calibrated to compute, on links of the rate.

    Messages need no core there; an empty one takes as long as on the emulated hosts.
    """
    manifest = read_manifest(shards)
    alone, shared = (rates_of(manifest.fingerprint, n, "n1") for n in (1, hosts))
    link = Link(shared.neighbours.latency_s, CARRIED * bits_per_second(rate) / 8)
    real = replace(
        alone, num_nodes=hosts, all_to_all={hosts: link}, neighbours=link, overlap=1.0,
        where=f"measured on one rank, links of {rate}",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as cache:
        environment = dict(os.environ) | {"BATCHGNN_CACHE": cache, "PYTHONPATH": str(ROOT)}
        path = Path(cache) / rates_path(hosts).name
        write_rates(path, real, manifest.name, manifest.fingerprint)
        words = [*BATCHGNN, "plan", shards, "--ranks", hosts, "--json", *settings]
        how = {"env": environment, "stdout": subprocess.PIPE, "text": True, "check": True}
        return _json(subprocess.run([str(word) for word in words], **how).stdout)


def _json(said: str) -> dict[str, Any]:
    return json.loads(said[said.index("{") :])


def _of_mode(plan: dict[str, Any], mode: str) -> dict[str, Any]:
    """A mode without options besides those of the settings."""
    return next(each for each in plan["modes"] if each["mode"] == mode and not each["options"])


def on_hosts(cluster: Cluster, num_hosts: int, *arguments: object) -> str:
    """`batchgnn ARGUMENTS` with a rank of one thread on each of some hosts; what it printed.

    Raises CalledProcessError.
    """
    names = list(cluster.hosts)[:num_hosts]
    launch = ["launch", "-n", len(names), "--hosts", ",".join(names), "--threads", 1, "--no-bind"]
    words = [*BATCHGNN, *launch, "--", *arguments]
    options = {"stdout": subprocess.PIPE, "text": True, "env": {"PYTHONPATH": str(ROOT)}}
    done = cluster.run([str(word) for word in words], timeout_s=LIMIT_S, **options)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, done.args, done.stdout)
    return done.stdout


def contender_of(run: Path, mode: str) -> Contender:
    """What a finished run says of itself."""
    result = json.loads((run / "result.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    seconds = [line["seconds"] for line in lines]
    return Contender(mode, seconds, result["plan"]["terms"], lines[-1].get("halo_rows", 0))


def table_of(found: Contest) -> Table:
    """Every term of all modes, predicted and measured."""
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


def summary_of(found: Contest) -> Iterator[str]:
    """Each mode in a line, beside the first one; then what decided."""
    first = found.contenders[0]
    for each in found.contenders:
        seconds = " ".join(f"{s:.2f}" for s in each.seconds)
        yield (
            f"{each.mode}: {each.measured_s:.2f} s measured ({seconds}), {each.predicted_s:.2f} "
            f"predicted, {found.real_s(each.mode):.2f} predicted of hosts with a core each; "
            f"{each.sent_bytes / 1e6:,.0f} MB"
        )
        yield (
            f"  {first.mode} takes {first.measured_s / each.measured_s:.2f} x as long, "
            f"{found.real_s(first.mode) / found.real_s(each.mode):.2f} x there; "
            f"sends {first.sent_bytes / each.sent_bytes:.2f} x as much"
        )
    yield (
        f"quickest: {found.quickest('measured_s')} measured, "
        f"{found.quickest('predicted_s')} predicted"
    )


app = App(name="contest", help=__doc__)


@app.default
def command(
    shards: Path,
    /,
    *settings: Annotated[str, Parameter(allow_leading_hyphen=True)],
    hosts: int = 4,
    rate: str = "1gbit",
    epochs: int = EPOCHS,
    modes: Annotated[tuple[str, ...], Parameter(consume_multiple=False)] = MODES,
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
    modes
        to compare, one each time that it is given
    """
    if reason := why_not():
        sys.exit(f"contest: {reason}")
    how = {"hosts": hosts, "rate": rate, "epochs": epochs, "modes": modes}
    found = contest(shards, settings or SETTINGS, **how)
    console = Console(width=160)
    console.print(table_of(found))
    console.print(found.plan["rate_values"])
    console.print(*summary_of(found), f"`batchgnn plan`: {found.plan['why']}", sep="\n")


if __name__ == "__main__":
    app(result_action="return_none")
