"""Seconds of training until links are ranked nearly as well as by the exact mode at its best.

`python tests/cluster/race.py [GRAPH]`, as root, with the folder of real graphs in BATCHGNN_DATA. On
emulated hosts with slow links, a rank of one thread on each, mode macrobatch trains without and
with its cache of remote rows, and mode averaging on many METIS shards (SuperTMA) and on random ones
(RandomTMA), each as many seconds. Evaluations are not counted: in the paper of SuperTMA a server of
its own makes them.
"""

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cyclopts import App

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

from cluster.contest import on_hosts  # noqa: E402
from cluster.hosts import emulated  # noqa: E402
from cluster.namespaces import why_not  # noqa: E402
from commands import succeed  # noqa: E402
from shards import DATA  # noqa: E402

NEARLY = 0.98
EDGES = ("--links", 0.85, 0.05, 0.10)
TRAIN = (
    *("--task", "links", "--model", "sage", "--layers", 2, "--hidden", 64, "--embedding", 64),
    *("--fanouts", 10, 10, "--batch-size", 2000, "--lr", 0.003),
)
MACROBATCH, AVERAGING = ("--mode", "macrobatch"), ("--mode", "averaging", "--round", "2s")
MANY, FEW = ("metis", 64), ("metis", 4)


@dataclass(frozen=True)
class Racer:
    """How the graph is cut, into how many shards, and the options of `train`."""

    cut: tuple[str, int]
    options: tuple[object, ...]


RACERS: Mapping[str, Racer] = {
    "macrobatch": Racer(FEW, MACROBATCH),
    "macrobatch, --feature-cache 64M": Racer(FEW, (*MACROBATCH, "--feature-cache", "64M")),
    "SuperTMA, 64 shards": Racer(MANY, AVERAGING),
    "RandomTMA": Racer(("random", 64), AVERAGING),
}


@dataclass(frozen=True)
class Curve:
    """Validation scores of a run, by the seconds of training before each."""

    seconds: list[float]
    scores: list[float]

    def seconds_to(self, score: float) -> float | None:
        """Until a score is reached; None: it never was."""
        reached = (s for s, found in zip(self.seconds, self.scores, strict=True) if found >= score)
        return next(reached, None)


def curve_of(run: Path) -> Curve:
    """Of a finished run."""
    seconds, total, scores = [], 0.0, []
    for line in (run / "metrics.jsonl").read_text().splitlines():
        epoch = json.loads(line)
        total += epoch["seconds"]
        if "val_mrr" in epoch:
            seconds.append(total)
            scores.append(epoch["val_mrr"])
    return Curve(seconds, scores)


app = App(name="race", help=__doc__)


@app.default
def race(
    graph: str = "amazon-photo", /, *, hosts: int = 4, rate: str = "250mbit", seconds: int = 120
) -> None:
    """Print a table: seconds to the score, and the best one.

    Parameters
    ----------
    graph
        of the real graphs
    hosts
        emulated hosts, with one rank of one thread each
    rate
        of every link in both directions
    seconds
        of training, in epochs or rounds as they come
    """
    if reason := why_not():
        sys.exit(reason)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        succeed("data", "convert", "npz", DATA / "static" / f"{graph}.npz", work / "g.h5")
        found = {name: _curve(name, work, hosts, rate, seconds) for name in RACERS}
    exact = max(found["macrobatch"].scores)
    print(f"{graph}, {hosts} hosts, {rate}: seconds to {NEARLY:.0%} of {exact:.4f}")
    for name, curve in found.items():
        reached = curve.seconds_to(NEARLY * exact)
        said = "not reached" if reached is None else f"{reached:.1f} s"
        print(f"{name:34}{said:>14}, best {max(curve.scores):.4f} in {curve.seconds[-1]:.0f} s")


def _curve(name: str, work: Path, hosts: int, rate: str, seconds: int) -> Curve:
    """Train once to know how long an epoch is, and then as many as fit."""
    racer = RACERS[name]
    method, num_shards = racer.cut
    shards = work / f"{method}-{num_shards}"
    if not shards.exists():
        succeed("partition", work / "g.h5", shards, "--method", method, "--shards", num_shards,
                *EDGES)  # fmt: skip
    with emulated(hosts, rate) as cluster:

        def train(run: Path, epochs: int) -> Curve:
            how = ["--epochs", epochs, "--patience", 0, *TRAIN, *racer.options]
            on_hosts(cluster, hosts, "train", shards, "--run", run, *how)
            return curve_of(run)

        first = train(work / f"{name} first", 2)
        each = first.seconds[1] - first.seconds[0]
        return train(work / name, max(2, round(seconds / each)))


if __name__ == "__main__":
    app()
