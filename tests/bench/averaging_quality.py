"""Scores of mode averaging beside exact training for the same time, on real graphs.

`python tests/bench/averaging_quality.py`, in an environment that has BatchGNN, with the folder of
real graphs in BATCHGNN_DATA. Each row is a job of three ranks of one thread that trains so many
seconds, evaluations not counted; it keeps the model that was best on the validation split. Rows
take turns, a seed after the other, so that a slow minute of the machine hits all.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from cyclopts import App

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

from bench.graph import ROOT, python_path  # noqa: E402
from shards import DATA  # noqa: E402

TRAINERS = 3


@dataclass(frozen=True)
class Graph:
    """What is converted, how the edges are split where these are learned, and how it is trained."""

    name: str
    convert: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    train: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A way to train: the cut, and how many trainers."""

    method: str
    shards: int
    trainers: int


SAGE = ("--model", "sage", "--layers", "2", "--hidden", "128", "--lr", "0.003")
SAMPLED = (*SAGE, "--dropout", "0.5")
SPLIT, EDGES = ("--split", "0.6", "0.2", "0.2"), ("--links", "0.85", "0.05", "0.10")

GRAPHS = {
    "amazon-photo": Graph(
        "amazon-photo", SPLIT, (), (*SAMPLED, "--fanouts", "15", "10", "--batch-size", "512")
    ),
    "wordnet": Graph("wordnet", (), (), (*SAMPLED, "--fanouts", "5", "5", "--batch-size", "1024")),
    "pubmed-links": Graph(
        "pubmed", (), EDGES, (*SAGE, "--fanouts", "10", "5", "--batch-size", "1000")
    ),
}
"The first two as in tests/recipes."

ROWS = {
    "exact": Row("metis", 3, 1),
    "METIS-3": Row("metis", 3, TRAINERS),
    "SuperTMA-300": Row("metis", 300, TRAINERS),
    "RandomTMA": Row("random", 3, TRAINERS),
}
"One trainer of all ranks is mode macrobatch to the bit, with rounds that go by the clock."

app = App(name="averaging_quality", help=__doc__)


def batchgnn(*arguments: object) -> None:
    """Run a command of `batchgnn`, which must end well."""
    command = [sys.executable, "-m", "batchgnn", *map(str, arguments)]
    path = os.environ.get("PYTHONPATH", "")
    environment = dict(os.environ) | {"PYTHONPATH": f"{path}:{python_path()}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")


def made(work: Path, graph: Graph, row: Row) -> Path:
    """The shards, converted and cut unless they are there."""
    store, cut = work / f"{graph.name}.h5", f"{graph.name}{'-links' * bool(graph.cut)}"
    shards = work / f"{cut}-{row.method}-{row.shards}"
    if not store.exists():
        source = DATA / "static" / f"{graph.name}.npz"
        batchgnn("data", "convert", "npz", source, store, *graph.convert)
    if not shards.exists():
        how = ("--shards", row.shards, "--method", row.method, *graph.cut)
        batchgnn("partition", store, shards, *how)
    return shards


def trained(shards: Path, run: Path, graph: Graph, row: Row, seed: int, seconds: int) -> dict:
    """What result.json says of a run."""
    batchgnn(
        *("launch", "-n", TRAINERS, "--threads", 1, "--no-bind", "--"),
        *("train", shards, "--run", run, "--mode", "averaging", "--trainers", row.trainers),
        *("--round", "1s", "--time-limit", f"{seconds}s", "--eval-every", max(seconds // 5, 1)),
        *("--seed", seed, *graph.train),
    )
    return json.loads((run / "result.json").read_text())


def in_words(values: list[float]) -> str:
    """Mean and deviation over the seeds."""
    spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{mean(values):.4f}{spread}"


@app.default
def compare(
    *,
    graphs: tuple[str, ...] = tuple(GRAPHS),
    seconds: int = 20,
    seeds: int = 3,
    work: Path = ROOT / "build" / "bench" / "averaging",
) -> None:
    """Train every row on every graph and print a table of test scores.

    Parameters
    ----------
    graphs
        Which to train on.
    seconds
        Of training in a run, in rounds of one second.
    seeds
        Runs of each row: weights, samples and the deal of shards.
    work
        Folder of graphs, shards and runs; shards are made once.
    """
    work.mkdir(parents=True, exist_ok=True)
    print("| graph, score | trained | edges kept | steps of a trainer | test |", flush=True)
    print("|---|---|---|---|---|", flush=True)
    for name in graphs:
        graph = GRAPHS[name]
        found: dict[str, list[dict]] = {said: [] for said in ROWS}
        where = work / f"runs-{os.getpid()}" / name
        shards = {said: made(work, graph, row) for said, row in ROWS.items()}
        for said, row in ROWS.items():  # kernels are compiled, files read
            trained(shards[said], where / said / "warm", graph, row, 0, 2)
        for seed in range(seeds):
            for said, row in ROWS.items():
                run = where / said / str(seed)
                found[said].append(trained(shards[said], run, graph, row, seed, seconds))
        for said, results in found.items():
            show(name, said, results)


def show(name: str, said: str, results: list[dict]) -> None:
    """A line of the table: means over the seeds."""
    metric = results[0]["metric"]
    scores = in_words([each[f"test_{metric}"] for each in results])
    kept = mean(each["kept_edges"] for each in results)
    steps = [mean(t["steps"] for t in each["trainers"]) for each in results]
    took = f"{mean(steps):.0f} ({min(steps):.0f} to {max(steps):.0f})"
    print(f"| {name}, {metric} | {said} | {kept:.1%} | {took} | {scores} |", flush=True)


if __name__ == "__main__":
    app()
