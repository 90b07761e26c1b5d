"""The ablation: what each technique of the macrobatch mode adds, from the way of DistDGL upward.

Every row is a job of its own that stays open; rows take turns at training the same steps, the
others sleep meanwhile, and medians over the turns are printed. `make bench-ablation` runs it on the
graph of 1.2 M vertices; `make bench` in a small form. README.md beside this file explains a column.
"""

import csv
import dataclasses
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Literal

from cyclopts import App, Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE.parent)]

from bench.peers import GRAPH  # noqa: E402
from bench.peers_worker import SETTINGS  # noqa: E402

from batchgnn.launch.mpirun import THREAD_VARIABLES  # noqa: E402
from batchgnn.settings.config import Settings  # noqa: E402

MACROBATCH = 8
PHASES = (
    "sample", "locate", "fetch", "gather", "forward", "backward", "allreduce", "update", "wait",
)  # fmt: skip
CORES = 2
WIDTH = 168


@dataclass(frozen=True)
class Row:
    """One row: settings that it changes against the row above, whose others it keeps.

    exact: it trains the numbers of the row above, so that the losses are the same.
    """

    name: str
    changes: dict[str, Any]
    exact: bool = True


def rows_of(feature_cache: str) -> list[Row]:
    """The rows of issue 3, from blocking minibatches without caches upward."""
    return [
        Row("M = 1, no caches, no overlap", {"macrobatch": 1, "overlap": False}, exact=False),
        Row(f"+ macrobatch of {MACROBATCH}", {"macrobatch": MACROBATCH}),
        Row("+ overlap", {"overlap": True}),
        Row("+ aggregated cache", {"aggregate_cache": "memory"}, exact=False),
        Row("+ remote-row cache", {"feature_cache": feature_cache}),
        Row("+ bfloat16", {"feature_dtype": "bfloat16"}, exact=False),
    ]


def available(rows: Iterable[Row], without: Sequence[str]) -> tuple[list[Row], list[str]]:
    """The rows whose settings this BatchGNN has, and a sentence on each that is left out."""
    known = {f.name for f in dataclasses.fields(Settings)}
    kept, said = [], []
    for row in rows:
        if missing := set(row.changes) - known:
            said.append(f"{row.name}: left out, no setting {', '.join(sorted(missing))}")
        elif set(row.changes) & set(without):
            said.append(f"{row.name}: left out as asked")
        else:
            kept.append(row)
    return kept, said


class JobError(Exception):
    """A row's job ended early."""


@dataclass
class Job:
    """A row's ranks, started and waiting for commands; `turns` are the answers so far."""

    row: Row
    settings: dict[str, Any]
    process: subprocess.Popen
    errors: Any
    ready: dict = field(default_factory=dict)
    turns: list[dict] = field(default_factory=list)

    def ask(self, **command) -> dict:
        """What the job answers; raises JobError."""
        with suppress(BrokenPipeError):  # then the answer is missing too
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict:
        """The job's next answer; raises JobError with what it wrote on standard error."""
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        self.errors.seek(0)
        raise JobError(f"{self.row.name}: {self.errors.read()[-3000:]}")

    def close(self) -> None:
        """End the job; said in words, because Open MPI does not pass the end of its input on."""
        with suppress(BrokenPipeError):
            self.process.stdin.write('{"do": "end"}\n')
            self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            self.process.wait(30)
        self.process.stdout.close()
        self.errors.close()


Start = Callable[..., subprocess.Popen]
"""Starts a worker's command line on all ranks; the options are those of subprocess.Popen."""


def start_here(ranks: int, threads: int) -> Start:
    """Ranks of this machine, unbound."""
    environment = dict(os.environ) | dict.fromkeys(THREAD_VARIABLES, str(threads))
    environment["PYTHONPATH"] = python_path()
    launched = [] if ranks == 1 else [str(HERE.parent / "mpi" / "launched.py"), str(ranks)]

    def start(argv: list[str], **options) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, *launched, *argv], env=environment, **options)

    return start


def python_path() -> str:
    """Where workers find BatchGNN and the tests' modules."""
    return f"{ROOT}:{HERE.parent}"


class Ablation:
    """The jobs of all rows on one placement of ranks; a context manager."""

    def __init__(self, start: Start, shards: Path, settings: dict, rows: list[Row], warm_up: int):
        """settings: of config.Settings, what all rows share; warm_up: steps before a first turn."""
        self.start, self.shards, self.settings, self.rows = start, shards, settings, rows
        self.warm_up, self.epoch, self.left = warm_up, -1, 0
        self.jobs: list[Job] = []
        self.failed: list[str] = []

    def __enter__(self) -> "Ablation":
        """Start one job after the other, so that only the first may have to compile."""
        try:
            values = dict(self.settings)
            for row in self.rows:
                values |= row.changes
                job = self._start(row, values)
                try:
                    job.ready = job.answer()
                    job.ask(do="start", epoch=0, steps=min(2, job.ready["num_steps"]))
                    self.jobs.append(job)
                except JobError as error:
                    self.failed.append(f"left out, its job failed: {error}")
                    job.close()
            if not self.jobs:
                raise JobError("\n".join(["no row's job started", *self.failed]))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for job in self.jobs:
            job.close()

    def _start(self, row: Row, values: dict) -> Job:
        errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        argv = [str(HERE / "ablation_worker.py"), str(self.shards), json.dumps(values)]
        process = self.start(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                             text=True)  # fmt: skip
        return Job(row, dict(values), process, errors)

    def turn(self, steps: int, around: Callable[[], Any] = lambda: None) -> None:
        """Each row trains the same next `steps` steps, alone.

        around: called before and after each; the pair of what it returns is kept as "around".
        """
        if self.left < steps:
            self._next_epoch(steps)
        self.left -= steps
        for job in self.jobs:
            before = around()
            answer = job.ask(do="train", steps=steps)
            job.turns.append(answer | {"around": (before, around())})

    def _next_epoch(self, steps: int) -> None:
        self.epoch += 1
        ahead = 2 * max(job.settings["macrobatch"] for job in self.jobs)  # sampled before it ends
        have = min(job.ready["num_steps"] for job in self.jobs) - ahead
        if have < self.warm_up + steps:
            raise JobError(
                f"an epoch has {have + ahead} steps; {self.warm_up} to warm up, {steps} a turn and "
                f"{ahead} that are only sampled are needed: lower --batch or --steps"
            )
        for job in self.jobs:
            job.ask(do="start", epoch=self.epoch, steps=self.warm_up)
        self.left = have - self.warm_up

    def forget(self) -> None:
        """Drop the turns so far."""
        for job in self.jobs:
            job.turns = []


def summary(job: Job) -> dict[str, Any]:
    """Medians over a job's turns; times are seconds per 1,000 seeds of all ranks together."""
    turns = job.turns
    per_1000 = [1000 / turn["num_seeds"] for turn in turns]

    def middle(of: Callable[[dict], float]) -> float:
        return median(of(turn) * k for turn, k in zip(turns, per_1000, strict=True))

    seconds = sorted(turn["seconds"] * k for turn, k in zip(turns, per_1000, strict=True))
    last = turns[-1]
    gradient = last["collective_bytes"].get("gradient", 0)
    return {
        "row": job.row.name,
        "ranks": job.ready["ranks"],
        "threads": job.ready["threads"],
        "seconds": median(seconds),
        "fastest": seconds[0],
        "slowest": seconds[-1],
        **{
            f"{name}_s": middle(lambda turn, name=name: turn["phase_seconds"].get(name, 0.0))
            for name in PHASES
        },
        "cpu_s": middle(lambda turn: turn["cpu_seconds"]),
        "rounds_per_step": median(rounds(turn) / turn["steps"] for turn in turns),
        "data_bytes_per_step": median(
            (sum(turn["collective_bytes"].values()) - gradient) / turn["steps"] for turn in turns
        ),
        "gradient_bytes_per_step": gradient / last["steps"],
        "input_rows_per_step": median(turn["input_rows"] / turn["steps"] for turn in turns),
        "deduplication": sum(turn["distinct_input_rows"] for turn in turns)
        / max(1, sum(turn["input_rows"] for turn in turns)),
        "peak_memory_bytes": sum(last["peak_memory_bytes"]),
        "losses": [turn["loss"] for turn in turns],
    }


def rounds(turn: dict) -> int:
    """Rounds of messages of sampling and fetching; all-to-alls of counts and gradients are not."""
    return sum(
        calls
        for name, calls in turn["collective_calls"].items()
        if name != "gradient" and not name.endswith(" counts")
    )


def remarks(jobs: list[Job]) -> list[str]:
    """What a reader must know of the rows: losses that differ, caches that changed nothing."""
    said = []
    for before, job in pairwise(jobs):
        pairs = zip(before.turns, job.turns, strict=True)
        differ = max(abs(a["loss"] - b["loss"]) / abs(a["loss"]) for a, b in pairs)
        if job.row.exact and differ > 1e-4:
            said.append(f"{job.row.name}: LOSSES DIFFER from the row above by {differ:.1e}")
        idle = all(
            (rounds(a), a["collective_bytes"], a["input_rows"], a["loss"])
            == (rounds(b), b["collective_bytes"], b["input_rows"], b["loss"])
            for a, b in zip(before.turns, job.turns, strict=True)
        )
        if idle and not {"macrobatch", "overlap"} & set(job.row.changes):
            said.append(f"{job.row.name}: changed neither messages, rows nor losses here")
        hops = job.ready["layers"] - ("aggregate_cache" in job.settings)
        groups = -(-job.turns[0]["steps"] // job.settings["macrobatch"])
        counted, formula = rounds(job.turns[0]), (2 * hops + 2) * groups
        if job.ready["ranks"] > 1 and counted != formula:
            said.append(f"{job.row.name}: {counted} ROUNDS A TURN, {formula} by the formula")
    return said


COLUMNS: dict[str, Callable[[dict, dict], str]] = {
    "s/1000": lambda row, _: f"{row['seconds']:.3f}",
    "from": lambda row, _: f"{row['fastest']:.3f}",
    "to": lambda row, _: f"{row['slowest']:.3f}",
    "x": lambda row, first: f"{first['seconds'] / row['seconds']:.2f}",
    "sample": lambda row, _: _milliseconds(row["sample_s"]),
    "locate": lambda row, _: _milliseconds(row["locate_s"]),
    "fetch": lambda row, _: _milliseconds(row["fetch_s"]),
    "gather": lambda row, _: _milliseconds(row["gather_s"]),
    "fwd": lambda row, _: _milliseconds(row["forward_s"]),
    "bwd": lambda row, _: _milliseconds(row["backward_s"]),
    "allred": lambda row, _: _milliseconds(row["allreduce_s"]),
    "update": lambda row, _: _milliseconds(row["update_s"]),
    "wait": lambda row, _: _milliseconds(row["wait_s"]),
    "cpu": lambda row, _: _milliseconds(row["cpu_s"]),
    "rounds": lambda row, _: f"{row['rounds_per_step']:.3g}",
    "MB": lambda row, _: f"{row['data_bytes_per_step'] / 1e6:.3g}",
    "gradMB": lambda row, _: f"{row['gradient_bytes_per_step'] / 1e6:.3g}",
    "dedup": lambda row, _: f"{row['deduplication']:.3f}",
    "GB": lambda row, _: f"{row['peak_memory_bytes'] / 1e9:.2f}",
}
"Headings and cells of a row and the first row; README.md says what they mean."


def table(title: str, rows: list[dict[str, Any]]) -> Table:
    """The rows for people; milliseconds of phases are those of the slowest rank."""
    shown = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown.add_column("row", no_wrap=True)
    for heading in COLUMNS:
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(row["row"], *(cell(row, rows[0]) for cell in COLUMNS.values()))
    return shown


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.0f}"


def machine() -> dict[str, Any]:
    """Where and on what the figures were measured."""
    revision = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    return {
        "cpu": sorted(models),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "revision": revision.stdout.strip(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S"),
    }


def new_folder(out: Path | None, name: str) -> Path:
    """The folder for results: the given one, which must not exist, or one named by the time."""
    folder = out or ROOT / "build" / "bench" / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    if folder.exists():
        sys.exit(f"--out {folder} exists: give a folder that does not.")
    folder.mkdir(parents=True)
    return folder


def write_results(folder: Path, results: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """`results.json` with every turn, `results.csv` with the medians."""
    (folder / "results.json").write_text(json.dumps(results, indent=1))
    flat = [{k: v for k, v in row.items() if not isinstance(v, list)} for row in rows]
    with (folder / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in flat for key in row)))
        writer.writeheader()
        writer.writerows(flat)


def make_shards(work: Path) -> Path:
    """The graph of issue 3, generated and cut for up to four ranks unless it is there."""
    graph, shards = work / "communities.h5", work / "shards-4"
    batchgnn = [sys.executable, "-m", "batchgnn"]
    environment = dict(os.environ) | {"PYTHONPATH": python_path()}
    work.mkdir(parents=True, exist_ok=True)
    if not shards.exists():
        if not graph.exists():
            command = [*batchgnn, "data", "generate", "communities", graph, *GRAPH]
            subprocess.run(command, env=environment, check=True)
        command = [*batchgnn, "partition", graph, shards, "--shards", "4"]
        subprocess.run(command, env=environment, check=True)
    return shards


def shared_settings(name: str, batch: int, threads: int) -> dict[str, Any]:
    """What all rows of setting A, B or C have in common."""
    fanouts = SETTINGS[name]["fanouts"]
    return {"model": "sage", "layers": len(fanouts), "hidden": SETTINGS[name]["hidden"],
            "fanouts": fanouts, "batch_size": batch, "dropout": 0.0, "threads": threads,
            "collective_timeout": 120}  # fmt: skip


def title_of(name: str, settings: dict, ranks: int, turns: int, steps: int) -> str:
    """One line above a table."""
    fanouts = " ".join(map(str, settings["fanouts"]))
    return (
        f"{name}: {settings['layers']}-layer SAGE, hidden {settings['hidden']}, fanouts {fanouts}, "
        f"{settings['batch_size']} seeds a step; {ranks} ranks x {settings['threads']} threads; "
        f"medians of {turns} turns of {steps} steps"
    )


app = App(
    name="ablation", help=__doc__, default_parameter=Parameter(consume_multiple=True, negative=())
)


@app.default
def ablate(
    *,
    work: Path = ROOT / "build" / "bench",
    shards: Path | None = None,
    settings: Sequence[Literal["A", "B", "C"]] = ("A", "B", "C"),
    ranks: Sequence[int] = (1, 2, 4),
    turns: int = 3,
    steps: int = 16,
    batch: int = 1000,
    feature_cache: str = "128M",
    rows: Sequence[int] | None = None,
    without: Sequence[str] = (),
    out: Path | None = None,
) -> list[dict[str, Any]]:
    """Print a table for each setting and number of ranks; write JSON and CSV.

    Parameters
    ----------
    work
        folder where the graph of issue 3 is generated and cut, or found again
    shards
        shard store to take instead, cut into at least as many shards as ranks
    settings
        A, B or C: hidden width and fanouts
    ranks
        numbers of ranks; one rank has two threads, more ranks have one each
    turns
        timed turns of each row
    steps
        optimiser steps of a turn, a multiple of 8
    batch
        seeds of a step, over all ranks
    feature_cache
        budget per rank of the remote-row cache
    rows
        numbers of the rows to run, from 0, each with what the rows before it add
    without
        settings to leave out of all rows, such as aggregate_cache
    out
        folder for results.json and results.csv, which must not exist
    """
    check_steps(steps)
    folder = new_folder(out, "ablation")
    shards = shards or make_shards(work)
    chosen, left_out = available(rows_of(feature_cache), without)
    if rows is not None:
        chosen = merged(chosen, rows)
    console, measured = Console(width=WIDTH), []
    results: dict[str, Any] = {"machine": machine(), "left_out": left_out, "tables": []}
    for name in settings:
        for size in ranks:
            threads = max(1, CORES // size)
            shared = shared_settings(name, batch, threads)
            start = start_here(size, threads)
            with Ablation(start, shards, shared, chosen, MACROBATCH) as ablation:
                for _ in range(turns):
                    ablation.turn(steps)
            found = [{"setting": name, **summary(job)} for job in ablation.jobs]
            notes = left_out + ablation.failed + remarks(ablation.jobs)
            console.print(table(title_of(name, shared, size, turns, steps), found))
            console.print(*notes, sep="\n")
            measured += found
            results["tables"].append(
                {"settings": shared, "ranks": size, "notes": notes, "rows": found,
                 "turns": {job.row.name: job.turns for job in ablation.jobs}}
            )  # fmt: skip
            write_results(folder, results, measured)
    console.print(f"{folder}/results.json, results.csv")
    return measured


def check_steps(steps: int) -> None:
    """A turn is whole macrobatches."""
    if steps < 1 or steps % MACROBATCH:
        sys.exit(f"--steps {steps}: a turn is a multiple of {MACROBATCH} steps, a macrobatch")


def merged(rows: list[Row], numbers: Sequence[int]) -> list[Row]:
    """The rows of these numbers, each with the changes of those skipped before it."""
    kept, changes = [], {}
    for k, row in enumerate(rows):
        changes = changes | row.changes
        if k in numbers:
            kept.append(Row(row.name, changes, row.exact and k - 1 in numbers))
            changes = {}
    return kept


if __name__ == "__main__":
    app(result_action="return_none")
