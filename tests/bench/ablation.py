"""The ablation: what each technique of the macrobatch mode adds, from the way of DistDGL upward.

Every row is a job of its own that stays open; rows take turns at training the same steps, the
others sleep meanwhile, and medians over the turns are printed. `make bench-ablation` runs it on the
graph of 1.2 M vertices; `make bench` in a small form. README.md beside this file explains a column.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from cyclopts import App, Parameter
from rich.console import Console

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

from bench.ablation_jobs import Ablation, start_here  # noqa: E402
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
from bench.graph import ROOT, make_shards  # noqa: E402

CORES = 2

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


if __name__ == "__main__":
    app(result_action="return_none")
