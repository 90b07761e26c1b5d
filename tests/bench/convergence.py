"""Real graphs learnt in a pipeline and by exact steps: scores, and epochs to a target.

`python tests/bench/convergence.py` trains every recipe in every way with five seeds, one process
of one thread, which takes hours. A run is a line of a file of which no line is trained again, so
that the program may be ended and go on. 16 chunks of one rank: the results are those of any number
of stages (tests/mpi/cases/test_pipeline.py).
"""

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

from bench.graph import ROOT  # noqa: E402
from commands import succeed  # noqa: E402
from shards import DATA  # noqa: E402

from batchgnn.run.folder import RunFolder  # noqa: E402

CHUNKS, SEEDS, HOURS = 16, 5, 3600
TARGET = 0.99
"Of the best validation score of the exact run of the same seed."
WAYS = {
    "exact": ["--mode", "fullgraph"],
    **{way: ["--mode", "pipeline", "--gradient", way] for way in ("double", "drop", "stale")},
}
GCNII = [
    *("--model", "gcnii", "--hidden", 64, "--dropout", 0.6, "--input-dropout", 0.6),
    *("--weight-decay", 5e-4, "--conv-weight-decay", 0.01, "--lr", 0.01),
]
RESIDUAL = [
    *("--model", "gcn", "--layers", 16, "--hidden", 64, "--residual", "--norm", "layer"),
    *("--dropout", 0.5, "--lr", 0.01),
]
GCNII_16, GCNII_64 = ([*GCNII, "--layers", layers] for layers in (16, 64))


class Recipe(NamedTuple):
    """patience, eval_every: epochs; margin: of the mean score below that of exact steps."""

    graph: str
    convert: list[str]
    train: list
    epochs: int
    patience: int
    eval_every: int
    margin: float


ROWS = ["--normalize-features", "row"]
RECIPES = {
    "cora gcnii-16": Recipe("cora", ROWS, GCNII_16, 1000, 100, 2, 0.01),
    "pubmed gcnii-16": Recipe("pubmed", [], GCNII_16, 500, 100, 5, 0.02),
    "amazon-photo residual-16": Recipe("amazon-photo", [], RESIDUAL, 500, 100, 5, 0.02),
    "cora gcnii-64": Recipe("cora", ROWS, GCNII_64, 1000, 100, 2, 0.01),
    "coauthor-cs residual-16": Recipe("coauthor-cs", [], RESIDUAL, 300, 60, 5, 0.02),
    "wordnet residual-16": Recipe("wordnet", [], RESIDUAL, 500, 100, 10, 0.02),
}


@dataclass(frozen=True)
class Trained:
    """A line of the file.

    test        at the best of the validations
    epochs      trained, until patience ended or all were
    exact_from  epoch since which the guard had it train exactly; 0 = it did not
    seconds     of training, beside whatever else the machine did
    val         score of every evaluation, "epoch:score epoch:score ..."
    """

    recipe: str
    way: str
    seed: int
    test: float
    epochs: int
    exact_from: int
    seconds: float
    val: str

    @property
    def curve(self) -> list[tuple[int, float]]:
        """Epochs and their validations."""
        pairs = (each.split(":") for each in self.val.split())
        return [(int(epoch), float(score)) for epoch, score in pairs]

    @property
    def best(self) -> float:
        """The best validation."""
        return max(score for _, score in self.curve)

    def reaches(self, score: float) -> int | None:
        """The first epoch whose validation does; None: none."""
        return next((epoch for epoch, found in self.curve if found >= score), None)


def make_shards(recipe: Recipe, folder: Path) -> Path:
    """The recipe's graph in CHUNKS shards, once. Needs its .npz in DATA."""
    graph, shards = folder / f"{recipe.graph}.h5", folder / f"{recipe.graph}-shards"
    if not shards.exists():
        graph.unlink(missing_ok=True)
        source = DATA / "static" / f"{recipe.graph}.npz"
        succeed("data", "convert", "npz", source, graph, *recipe.convert)
        succeed("partition", graph, shards, "--shards", CHUNKS)
    return shards


def train(name: str, recipe: Recipe, way: str, seed: int, shards: Path, run: Path) -> Trained:
    """A run to its end, in a folder that does not exist."""
    line = [*recipe.train, *WAYS[way], "--threads", 1, "--seed", seed, "--epochs", recipe.epochs]
    line += ["--eval-every", recipe.eval_every]
    line += ["--patience", recipe.patience // recipe.eval_every]
    succeed("train", shards, "--run", run, *line, timeout_s=8 * HOURS)
    result = json.loads((run / "result.json").read_text())
    metric, lines = result["metric"], RunFolder(run).read_metrics()
    val = [(each["epoch"], each[f"val_{metric}"]) for each in lines if f"val_{metric}" in each]
    exact_from = result.get("guard", {}).get("exact_from") or 0
    seconds = sum(each["seconds"] for each in lines)
    said = " ".join(f"{epoch}:{score:.4f}" for epoch, score in val)
    test = round(result[f"test_{metric}"], 4)
    return Trained(name, way, seed, test, len(lines), exact_from, round(seconds, 1), said)


def read_lines(path: Path) -> list[Trained]:
    """Those of the file; none where there is none."""
    if not path.exists():
        return []
    kinds: dict[str, Any] = {field.name: field.type for field in fields(Trained)}
    with path.open(newline="") as file:
        return [Trained(**{n: kinds[n](x) for n, x in row.items()}) for row in csv.DictReader(file)]


def add_line(path: Path, found: Trained) -> None:
    """At the end of the file."""
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(found)))
        if is_new:
            writer.writeheader()
        writer.writerow(asdict(found))


def table_of(lines: Iterable[Trained]) -> Table:
    """A row a recipe and way: test scores, and epochs until the target, by seed."""
    table = Table(title=f"epochs until {TARGET:.0%} of the exact run's best validation")
    for heading in ("recipe", "way", "seeds", "mean", "deviation", "test", "epochs to the target"):
        table.add_column(heading)
    lines = list(lines)
    exact = {(each.recipe, each.seed): each for each in lines if each.way == "exact"}
    for name, way in dict.fromkeys((each.recipe, each.way) for each in lines):
        runs = [each for each in lines if (each.recipe, each.way) == (name, way)]
        tests = np.array([each.test for each in runs])
        deviation = f"{tests.std(ddof=1):.4f}" if len(runs) > 1 else ""
        beside = [(each, exact.get((name, each.seed))) for each in runs]
        epochs = [str(run.reaches(TARGET * alone.best)) for run, alone in beside if alone]
        table.add_row(
            name, way, str(len(runs)), f"{tests.mean():.4f}", deviation,
            " ".join(f"{test:.3f}" for test in tests), " ".join(epochs),
        )  # fmt: skip
    return table


app = App(
    name="convergence",
    help=__doc__,
    default_parameter=Parameter(consume_multiple=True, negative=()),
)


@app.default
def command(
    *,
    recipes: Sequence[str] = tuple(RECIPES),
    ways: Sequence[str] = tuple(WAYS),
    seeds: int = SEEDS,
    work: Path = ROOT / "build" / "convergence",
    out: Path = ROOT / "build" / "convergence.csv",
) -> None:
    """Train what the file does not have, then print it as a table.

    Parameters
    ----------
    recipes
        names of RECIPES
    ways
        exact, double, drop or stale
    seeds
        of each, from 0; 0 = only print
    work
        folder for shards and run folders
    out
        the file, with a line for each run
    """
    work.mkdir(parents=True, exist_ok=True)
    wanted = [(n, way, seed) for n in recipes for seed in range(seeds) for way in ways]
    for name, way, seed in wanted:
        if any((each.recipe, each.way, each.seed) == (name, way, seed) for each in read_lines(out)):
            continue
        shards = make_shards(RECIPES[name], work)
        run = work / f"{name.replace(' ', '-')}-{way}-{seed}"
        while run.exists():  # of a program that was ended
            run = run.with_name(f"{run.name}-again")
        add_line(out, train(name, RECIPES[name], way, seed, shards, run))
    Console(width=200).print(table_of(read_lines(out)))


if __name__ == "__main__":
    app(result_action="return_none")
