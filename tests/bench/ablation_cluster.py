"""The ablation where messages cost something: 4 emulated hosts, TCP on links of 1 and 0.25 Gbit/s.

`make bench-cluster`, as root. Four ranks of one thread share this machine's cores, so that seconds
of computation are those of too few cores; rounds and bytes are those of a real cluster. Beside each
row stands the larger of computation and communication, which overlap should come close to:
computation is the same row on unshaped links, communication is the busiest link's counted bytes at
the rate that a plain all-to-all of the same job reaches, plus a measured barrier for every
collective.
"""

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from cyclopts import App, Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

from bench.ablation_jobs import Ablation, Job, Start  # noqa: E402
from bench.ablation_rows import (  # noqa: E402
    MACROBATCH,
    available,
    check_steps,
    merged,
    rows_of,
    shared_settings,
)
from bench.ablation_table import (  # noqa: E402
    WIDTH,
    machine,
    new_folder,
    remarks,
    summary,
    table,
    title_of,
    write_results,
)
from bench.graph import ROOT, make_shards, python_path  # noqa: E402
from cluster.hosts import Cluster, emulated  # noqa: E402
from cluster.namespaces import bits_per_second, why_not  # noqa: E402

from batchgnn.launch.mpirun import find_mpirun  # noqa: E402

UNSHAPED = "none"
TRAFFIC_SECONDS = 0.3


def start_on(cluster: Cluster, ranks: int) -> Start:
    """One rank a host, of one thread."""
    mpirun = find_mpirun().path

    def start(argv: list[str], **options):
        command = [mpirun, "-n", str(ranks), sys.executable, *argv]
        return cluster.start(command, env={"PYTHONPATH": python_path()}, **options)

    return start


def measure_links(job: Job, rate: str, ranks: int) -> dict:
    """What an all-to-all of all ranks reaches now, sized to last a moment."""
    bits = bits_per_second("1gbit" if rate == UNSHAPED else rate)
    return job.ask(do="traffic", num_bytes=int(TRAFFIC_SECONDS * bits / 8 / (ranks - 1)))


def busiest_link(turn: dict) -> int:
    """Bytes that the busiest direction of any link carried in a turn."""
    before, after = turn["around"]
    return max(
        after[host][direction] - before[host][direction] for host in after for direction in (0, 1)
    )


def communication_seconds(job: Job, links: dict) -> float:
    """Seconds per 1,000 seeds that the counted messages need on links measured so."""
    return statistics.median(
        1000
        / turn["num_seeds"]
        * (
            busiest_link(turn) / links["bytes_per_second"]
            + sum(turn["collective_calls"].values()) * links["barrier_s"]
        )
        for turn in job.turns
    )


def compare(rows: list[dict[str, Any]]) -> Table:
    """Measured seconds beside the larger of computation and communication."""
    title = "seconds per 1,000 seeds"
    shown = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("row", "link MB/step", "computation", "communication", "larger", "measured",
                    "x larger"):  # fmt: skip
        shown.add_column(heading, justify="left" if heading == "row" else "right", no_wrap=True)
    for row in rows:
        larger = max(row["computation_s"], row["communication_s"])
        cells = [row["computation_s"], row["communication_s"], larger, row["seconds"]]
        shown.add_row(
            row["row"],
            f"{row['link_bytes_per_step'] / 1e6:.2f}",
            *(f"{seconds:.3f}" for seconds in cells),
            f"{row['seconds'] / larger:.2f}",
        )
    return shown


app = App(
    name="ablation_cluster",
    help=__doc__,
    default_parameter=Parameter(consume_multiple=True, negative=()),
)


@app.default
def ablate(
    *,
    work: Path = ROOT / "build" / "bench",
    shards: Path | None = None,
    setting: Literal["A", "B", "C"] = "C",
    hosts: int = 4,
    rates: Sequence[str] = ("1gbit", "250mbit"),
    turns: int = 3,
    steps: int = 16,
    batch: int = 1000,
    feature_cache: str = "128M",
    rows: Sequence[int] | None = None,
    without: Sequence[str] = (),
    out: Path | None = None,
) -> list[dict[str, Any]]:
    """Print two tables for each rate; write JSON and CSV.

    Parameters
    ----------
    work
        folder where the graph of issue 3 is generated and cut, or found again
    shards
        shard store to take instead, cut into at least as many shards as hosts
    setting
        A, B or C: hidden width and fanouts
    hosts
        emulated hosts, with one rank of one thread each
    rates
        of every link in both directions; unshaped links are measured first in any case
    turns
        timed turns of each row at each rate
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
    if reason := why_not():
        sys.exit(f"bench-cluster: {reason}")
    folder = new_folder(out, "cluster")
    shards = (shards or make_shards(work)).resolve()
    chosen, left_out = available(rows_of(feature_cache), without)
    if rows is not None:
        chosen = merged(chosen, rows)
    shared = shared_settings(setting, batch, 1)
    console, measured = Console(width=WIDTH), []
    results: dict[str, Any] = {"machine": machine(), "settings": shared, "rates": {}}
    with (
        emulated(hosts) as cluster,
        Ablation(start_on(cluster, hosts), shards, shared, chosen, MACROBATCH) as ablation,
    ):
        computation: dict[str, float] = {}
        for rate in (UNSHAPED, *rates):
            cluster.shape(None if rate == UNSHAPED else rate)
            links = measure_links(ablation.jobs[0], rate, hosts)
            ablation.forget()
            for _ in range(turns):
                ablation.turn(steps, around=cluster.bytes)
            found = []
            for job in ablation.jobs:
                row = {"rate": rate, **summary(job)}
                computation.setdefault(job.row.name, row["seconds"])
                row["computation_s"] = computation[job.row.name]
                row["communication_s"] = communication_seconds(job, links)
                row["link_bytes_per_step"] = statistics.median(
                    busiest_link(turn) / turn["steps"] for turn in job.turns
                )
                found.append(row)
            notes = left_out + ablation.failed + remarks(ablation.jobs)
            links_said = (
                f"links {rate}: an all-to-all reached {8e-9 * links['bytes_per_second']:.3f} "
                f"Gbit/s a rank, a barrier took {1e6 * links['barrier_s']:.0f} us"
            )
            title = title_of(setting, shared, hosts, turns, steps)
            console.print(table(f"{title}\n{links_said}", found))
            if rate != UNSHAPED:
                console.print(compare(found))
            console.print(*notes, sep="\n")
            measured += found
            results["rates"][rate] = {
                "links": links,
                "notes": notes,
                "rows": found,
                "turns": {job.row.name: job.turns for job in ablation.jobs},
            }
            write_results(folder, results, measured)
    console.print(f"{folder}/results.json, results.csv")
    return measured


if __name__ == "__main__":
    app(result_action="return_none")
