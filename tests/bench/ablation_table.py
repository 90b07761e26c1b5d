"""The tables of the ablation: medians of a row's turns, remarks, files of results."""

import csv
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from bench.ablation_jobs import Job
from bench.graph import ROOT
from rich.box import SIMPLE_HEAD
from rich.table import Table

PHASES = (
    "sample", "locate", "fetch", "gather", "forward", "backward", "allreduce", "update", "wait",
)  # fmt: skip
WIDTH = 168


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


def title_of(name: str, settings: dict, ranks: int, turns: int, steps: int) -> str:
    """One line above a table."""
    fanouts = " ".join(map(str, settings["fanouts"]))
    return (
        f"{name}: {settings['layers']}-layer SAGE, hidden {settings['hidden']}, fanouts {fanouts}, "
        f"{settings['batch_size']} seeds a step; {ranks} ranks x {settings['threads']} threads; "
        f"medians of {turns} turns of {steps} steps"
    )


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
