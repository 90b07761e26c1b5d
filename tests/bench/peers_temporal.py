"""Steps of `--mode temporal` beside PyG's TGN: the same stream, batch, widths and threads.

`python tests/bench/peers_temporal.py --pyg PYTHON --shards SHARDS`, in an environment that has
BatchGNN; PYTHON has torch-geometric. The systems take turns, the others sleep meanwhile; events a
second and processor time are medians over turns.
"""

import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from cyclopts import App

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

from bench.peers import others_go_on  # noqa: E402
from bench.peers_systems import ROOT, Places, System, Worker  # noqa: E402
from bench.peers_worker import TemporalTask  # noqa: E402

from batchgnn.modes.temporal.stream import read_stream  # noqa: E402
from batchgnn.store.shard_store import ShardStore  # noqa: E402

HIDDEN, SHORT = 100, 200
WANTED = {"ours-1x1": ("pyg-1", 3.0), "ours-1x2": ("pyg-2", 3.3), "ours-2x1": ("pyg-2", 3.8)}
WANTED_SHORT = 5.0
"Times faster that is asked for: of batches of 600, and of SHORT events for all."

app = App(name="peers_temporal", help=__doc__)


def _systems(pyg: Path) -> dict[str, tuple[System, int]]:
    """Each with its threads."""

    def peer(task, places):
        return [str(pyg), str(HERE / "peers_temporal_pyg.py")]

    def ours(ranks: int):
        worker = [sys.executable, str(HERE / "peers_temporal_ours.py")]
        launch = ["mpirun", "-n", str(ranks), "--bind-to", "none", "--oversubscribe"]
        return lambda task, places: worker if ranks == 1 else [*launch, *worker]

    found = {f"pyg-{n}": (System(f"pyg-{n}", peer), n) for n in (1, 2)}
    for ranks, threads in ((1, 1), (1, 2), (2, 1)):
        name = f"ours-{ranks}x{threads}"
        system = System(name, ours(ranks), ranks, is_peer=False)
        found[name] = (system, ranks * threads)
    return found


@app.default
def compare(
    *,
    pyg: Path,
    shards: Path,
    work: Path = ROOT / "build" / "bench",
    batches: Sequence[int] = (600, SHORT),
    systems: Sequence[str] = ("pyg-1", "pyg-2", "ours-1x1", "ours-1x2", "ours-2x1"),
    rounds: int = 5,
    steps: int = 16,
    out: Path | None = None,
) -> None:
    """Time training steps of each system.

    Parameters
    ----------
    pyg
        Python interpreter that has torch-geometric
    shards
        shard store of a stream without features of events
    work
        folder for the exported stream and logs
    batches
        events of a step
    systems
        pyg-THREADS, ours-RANKSxTHREADS
    rounds
        turns of each system after the one that warms it up
    steps
        optimiser steps of a turn
    out
        JSON file for all that was measured
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the systems end too
    folder = (work / "peers-temporal").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    _export(shards, folder)
    places = Places(folder, shards.resolve(), pyg.absolute(), "shards")
    known = _systems(pyg.absolute())
    found = {}
    for batch in batches:
        found[batch] = _turns([known[name] for name in systems], batch, places, rounds, steps)
        _print(batch, found[batch])
        if out:
            out.write_text(json.dumps(found, indent=1))


def _export(shards: Path, folder: Path) -> None:
    """The training events for the peer."""
    stream = read_stream(ShardStore(shards))
    part = slice(0, len(stream.split("train")))
    columns = {name: getattr(stream, name)[part] for name in ("source", "target", "time")}
    np.savez(folder / "events.npz", num_vertices=stream.num_vertices, **columns)


def _turns(
    systems: list[tuple[System, int]], batch: int, places: Places, rounds: int, steps: int
) -> dict[str, list[dict]]:
    """What each system said in its turns, and its processor seconds a step."""
    workers: dict[str, Worker] = {}
    found: dict[str, list[dict]] = {}
    try:
        for system, threads in systems:
            task = TemporalTask(
                graph=str(places.work), shards=str(places.shards), hidden=HIDDEN, threads=threads,
                learning_rate=0.001, batch=batch,
            )  # fmt: skip
            with others_go_on(system.name, workers):
                workers[system.name] = worker = Worker(system, task, places)
                worker.train(steps)
                found[system.name] = []
        for _ in range(rounds):
            for name, worker in list(workers.items()):
                with others_go_on(name, workers):
                    begin = worker.cpu_s()
                    said = worker.train(steps)
                    said["cpu"] = (worker.cpu_s() - begin) / steps
                    found[name].append(said)
    finally:
        for worker in workers.values():
            worker.close()
    return {name: turns for name, turns in found.items() if turns}


def _print(batch: int, found: dict[str, list[dict]]) -> None:
    """A row for each system, then how much faster ours are, by either clock."""
    print(f"\n{batch} events a step, medians of turns")
    print(f"{'system':12}{'events/s':>10}{'ms/step':>9}{'cpu ms':>8}{'others':>8}{'loss':>8}")
    wall, cpu = {}, {}
    for name, turns in found.items():
        wall[name], cpu[name] = (median(t[key] for t in turns) for key in ("seconds", "cpu"))
        rate = median(turn["num_seeds"] / turn["seconds"] for turn in turns)
        others, loss = max(turn["others"] for turn in turns), turns[-1]["loss"]
        times = f"{1e3 * wall[name]:9.1f}{1e3 * cpu[name]:8.1f}"
        print(f"{name:12}{rate:10.0f}{times}{others:8.0%}{loss:8.4f}")
    for mine, (peer, wanted) in WANTED.items():
        if mine in wall and peer in wall:
            wanted = WANTED_SHORT if batch <= SHORT else wanted
            ratio = wall[peer] / wall[mine]
            said = "" if ratio >= wanted else "  NOT REACHED"
            work = cpu[peer] / cpu[mine]
            print(f"{mine}: {ratio:.2f} x as fast as {peer} (wanted {wanted}){said}; "
                  f"of its processor time {work:.2f} x")  # fmt: skip
    sys.stdout.flush()


if __name__ == "__main__":
    app()
