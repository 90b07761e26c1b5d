"""BatchGNN beside DGL, GraphBolt and DistDGL: the same graph, model, batch, fanouts and threads.

`make bench-peers`, or `python tests/bench/peers.py --peers PYTHON` in an environment
that has BatchGNN, where PYTHON is one that has requirements-peers.txt. The systems take turns on
the machine, the others wait meanwhile; medians over rounds. README.md says what is compared.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Literal

from cyclopts import App

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

from bench.graph import make_shards  # noqa: E402
from bench.peers_systems import ROOT, SYSTEMS, TURN, Places, Worker, WorkerError  # noqa: E402
from bench.peers_worker import LINK_SETTINGS, SETTINGS, Task  # noqa: E402
from cluster.hosts import emulated  # noqa: E402

DEFAULT = (
    "dgl", "graphbolt", "dgl-malloc", "graphbolt-malloc", "ours-1", "ours-1-cached",
    "distdgl-2", "distdgl-2-malloc", "ours-2", "ours-2-cached",
)  # fmt: skip
DEFAULT_LINKS = ("dgl", "dgl-malloc", "ours-1")
WANTED = {"A": (2.0, 2.5), "B": (2.5, 5.0), "C": (3.0, 6.0, 8.0), "links": (2.5,)}
"""Times faster than the fastest peer that is wanted: without the aggregated cache, with it, and
with the remote-row cache and bfloat16 besides."""
OPTIONS = ("", "-cached", "-narrow")

DISTURBED, ATTEMPTS, PAUSE_S = 0.03, 5, 2.0
"Share of the cores that others may use during a turn before it is tried again, and how often."

app = App(name="peers", help=__doc__)


@app.default
def compare(
    *,
    peers: Path,
    work: Path = ROOT / "build" / "bench",
    shards: Path | None = None,
    task: Literal["vertices", "links"] = "vertices",
    settings: Sequence[Literal["A", "B", "C"]] = ("A", "B", "C"),
    systems: Sequence[str] | None = None,
    rounds: int = 3,
    steps: int = TURN,
    batch: int = 1000,
    threads: int = 2,
    order: Literal["shards", "store"] = "shards",
    ours: Sequence[str] = (),
    kernels: bool = False,
    hosts: int = 0,
    rate: str = "1gbit",
    out: Path | None = None,
) -> None:
    """Time a training step of each system, or with --kernels its kernels.

    Parameters
    ----------
    peers
        Python interpreter that has the peers
    work
        folder for graphs, partitions and logs; what is there already is used again
    shards
        shard store; by default the graph of issue 3 is generated and cut in --work
    task
        what seeds are: vertices, or edges, of peers_worker.LINK_SETTINGS
    settings
        A, B or C: hidden width and fanouts of peers_worker.SETTINGS; of vertices
    systems
        names from peers_systems.SYSTEMS; by default those that learn the task
    rounds
        turns of each system after the one that warms it up
    steps
        optimiser steps of a turn; a multiple of BatchGNN's macrobatch
    batch
        seeds of a step, over all trainers
    threads
        threads of all processes of a system together
    order
        vertex order given to the peers in one process: BatchGNN's own, or the graph store's
    ours
        settings of BatchGNN that differ from its defaults, such as macrobatch=4 overlap=false
    kernels
        compare kernels instead of training steps
    hosts
        emulated hosts (cluster/hosts.py; needs root), where systems of so many processes run
    rate
        of each host's link, in both directions
    out
        JSON file for all that was measured
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the systems end too
    links = task == "links"
    folder = work / ("peers-links" if links else "peers")
    folder.mkdir(parents=True, exist_ok=True)
    if shards is None:
        shards = make_shards(work, links=links)
    places = Places(folder.resolve(), shards.resolve(), peers.absolute(), order)
    export_graph(places)
    if kernels:
        from bench.peers_kernels import compare_kernels

        found: dict = compare_kernels(places, threads)
    else:
        options = dict(_option(each) for each in ours)
        systems = systems or (DEFAULT_LINKS if links else DEFAULT)
        wanted = LINK_SETTINGS if links else {name: SETTINGS[name] for name in settings}
        found = {}
        for name, setting in wanted.items():
            work_of_it = Task(
                graph=str(places.work / order), shards=str(places.shards), batch=batch,
                threads=threads, options=options, **setting,
            )  # fmt: skip
            with emulated(hosts, rate) if hosts else nullcontext() as cluster:
                there = replace(places, hosts=cluster)
                found[name] = _compare_setting(name, systems, work_of_it, there, rounds, steps)
    if out:
        out.write_text(json.dumps(found, indent=1))


def export_graph(places: Places) -> None:
    """The same graph for the peers, with the interpreter that has BatchGNN."""
    script = HERE / "peers_graph.py"
    target = places.work / places.order
    subprocess.run([sys.executable, script, places.shards, target, places.order], check=True,
                   env={"PATH": "", "PYTHONPATH": str(ROOT)})  # fmt: skip


def _option(text: str) -> tuple[str, object]:
    """One KEY=VALUE; the value is JSON, or a word."""
    key, _, value = text.partition("=")
    try:
        return key.replace("-", "_"), json.loads(value)
    except ValueError:
        return key.replace("-", "_"), value


def _compare_setting(
    name: str, systems: Sequence[str], task: Task, places: Places, rounds: int, steps: int
) -> dict[str, dict]:
    """Start the systems, warm them up, let them take turns; returns and prints medians."""
    workers: dict[str, Worker] = {}
    found: dict[str, dict] = {}
    try:
        for each in systems:
            with others_go_on(each, workers):
                workers[each] = Worker(SYSTEMS[each], task, places)
        for each, worker in list(workers.items()):
            with others_go_on(each, workers):
                memory, _ = worker.peak_memory(steps)
                found[each] = {"memory_bytes": memory, "load_s": worker.load_s, "turns": []}
        for _ in range(rounds):
            for each, worker in list(workers.items()):
                with others_go_on(each, workers):
                    # Packets on emulated links cost time that is no process's.
                    turn = worker.train if places.hosts else partial(undisturbed, worker)
                    found[each]["turns"].append(turn(steps))
    finally:
        for worker in workers.values():
            worker.close()
    found = {each: row | _medians(row["turns"]) for each, row in found.items() if row["turns"]}
    _print(name, found, task, rounds, steps)
    return found


def undisturbed(worker: Worker, steps: int) -> dict:
    """A turn in which nothing else used the machine much, or the least disturbed of some."""
    turns = []
    for _ in range(ATTEMPTS):
        turns.append(worker.train(steps))
        if turns[-1]["others"] <= DISTURBED:
            break
        time.sleep(PAUSE_S)
    return min(turns, key=lambda turn: turn["others"])


@contextmanager
def others_go_on(system: str, workers: dict[str, Worker]) -> Iterator[None]:
    """A system that fails says so and takes no more turns."""
    try:
        yield
    except WorkerError as error:
        print(error, flush=True)
        if system in workers:
            workers.pop(system).close()


def _medians(turns: list[dict]) -> dict:
    """Medians over the turns, in seconds per 1,000 seeds where it is about time."""
    per_1000 = [1000 / turn["num_seeds"] for turn in turns]
    names = dict.fromkeys(name for turn in turns for name in turn["phases"])
    phases = {
        name: median(
            turn["phases"].get(name, 0) * k for turn, k in zip(turns, per_1000, strict=True)
        )
        for name in names
    }
    seconds = sorted(turn["seconds"] * k for turn, k in zip(turns, per_1000, strict=True))
    sizes = {name: median(turn[name] for turn in turns) for name in ("edges", "input_rows")}
    others = max(turn["others"] for turn in turns)
    return {"seconds": median(seconds), "fastest": seconds[0], "slowest": seconds[-1],
            "others": others, "phases": phases, **sizes}  # fmt: skip


def _print(name: str, found: dict[str, dict], task: Task, rounds: int, steps: int) -> None:
    """A row for each system, then how much faster ours are than the peers they are held to."""
    print(f"\n{name}: hidden {task.hidden}, fanouts {task.fanouts} from the seeds outward")
    print(f"{task.batch} seeds, {task.threads} threads in all; {rounds} turns of {steps} steps")
    print(f"{'system':18}{'s/1000 seeds':>13}{'from':>7}{'to':>7}{'others':>8}{'GB':>6}"
          f"{'edges':>9}{'rows':>8}")  # fmt: skip
    for system, row in found.items():
        seconds = (
            f"{row['seconds']:13.3f}{row['fastest']:7.3f}{row['slowest']:7.3f}{row['others']:8.0%}"
        )
        sizes = f"{row['memory_bytes'] / 1e9:6.2f}{row['edges']:9.0f}{row['input_rows']:8.0f}"
        phases = "  ".join(f"{key} {value:.3f}" for key, value in row["phases"].items())
        print(f"{system:18}{seconds}{sizes}  {phases}")
    for system in found:
        if not SYSTEMS[system].is_peer:
            _print_ratio(name, system, found)
    sys.stdout.flush()


def _print_ratio(name: str, system: str, found: dict[str, dict]) -> None:
    """One of ours against the fastest peer of as many processes."""
    processes = SYSTEMS[system].processes
    for malloc in (False, True):
        rivals = [p for p in found if SYSTEMS[p].is_peer and SYSTEMS[p].malloc == malloc]
        rivals = [p for p in rivals if SYSTEMS[p].processes == processes]
        if not rivals:
            continue
        best = min(rivals, key=lambda p: found[p]["seconds"])
        ratio = found[best]["seconds"] / found[system]["seconds"]
        wanted = dict(zip(OPTIONS, WANTED[name], strict=False)).get(system[len("ours-N") :])
        said = "" if wanted is None else f" (wanted {wanted})"
        said += "  NOT REACHED" if wanted and ratio < wanted else ""
        print(f"{system}: {ratio:.2f} x as fast as {best}{said}")


if __name__ == "__main__":
    app()
