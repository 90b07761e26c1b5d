"""Whole-graph epochs of BatchGNN beside DGL's and PyG's: the same graph, model and threads.

`python tests/bench/peers_whole.py --dgl PYTHON --pyg PYTHON`, in an environment that has BatchGNN;
the others are interpreters that have DGL 2.1, or torch-geometric (and torch-sparse for the rows of
its SparseTensor). The systems take turns on the machine, the others sleep meanwhile; medians.
"""

import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Literal

from cyclopts import App

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

from bench.graph import make_shards  # noqa: E402
from bench.peers import export_graph, others_go_on, undisturbed  # noqa: E402
from bench.peers_systems import ROOT, Places, System, Worker  # noqa: E402
from bench.peers_worker import WHOLE, WholeTask  # noqa: E402

WANTED = {"dgl": 1.3, "pyg-tensor": 3.0}
"Times faster that issue 4 asks for."

app = App(name="peers_whole", help=__doc__)


def _script(interpreter: Path, name: str, *words: str):
    return lambda task, places: [str(interpreter), str(HERE / name), *words]


def _systems(dgl: Path, pyg: Path) -> dict[str, System]:
    kept = (("aggregate_cache", "memory"),)
    ours = _script(Path(sys.executable), "peers_whole_ours.py")
    systems = [
        System("dgl", _script(dgl, "peers_whole_dgl.py")),
        System("pyg-csr", _script(pyg, "peers_whole_pyg.py", "csr")),
        System("pyg-tensor", _script(pyg, "peers_whole_pyg.py", "tensor")),
        System("ours", ours, is_peer=False, options=(("aggregate_cache", "off"),)),
        System("ours-cached", ours, is_peer=False, options=kept),
    ]
    return {system.name: system for system in systems}


@app.default
def compare(
    *,
    dgl: Path,
    pyg: Path,
    work: Path = ROOT / "build" / "bench",
    shards: Path | None = None,
    settings: Sequence[Literal["gcn-2x64", "gcn-2x256", "sage-8x64"]] = tuple(WHOLE),
    systems: Sequence[str] = ("dgl", "pyg-csr", "pyg-tensor", "ours", "ours-cached"),
    rounds: int = 3,
    threads: int = 2,
    out: Path | None = None,
) -> None:
    """Time an epoch of each system: forward, backward and update over all vertices.

    Parameters
    ----------
    dgl, pyg
        Python interpreters that have these
    work
        folder for the exported graph and logs; what is there already is used again
    shards
        shard store; by default the graph of `ablation.py` is generated and cut in --work
    settings
        model, layers and hidden width
    systems
        dgl; pyg-csr: with torch's own sparse matrices; pyg-tensor: with torch-sparse's
        SparseTensor; ours, and ours-cached with `--aggregate-cache memory`
    rounds
        epochs of each system after the one that warms it up
    threads
        threads of each system
    out
        JSON file for all that was measured
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the systems end too
    folder = (work / "peers").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    places = Places(folder, (shards or make_shards(work)).resolve(), dgl.absolute(), "shards")
    export_graph(places)
    known = _systems(dgl.absolute(), pyg.absolute())
    found = {}
    for name in settings:
        task = WholeTask(
            graph=str(folder / "shards"), shards=str(places.shards), threads=threads, **WHOLE[name]
        )
        found[name] = _compare_setting([known[each] for each in systems], task, places, rounds)
        _print(name, found[name], rounds)
        if out:
            out.write_text(json.dumps(found, indent=1))


def _compare_setting(
    systems: list[System], task: WholeTask, places: Places, rounds: int
) -> dict[str, dict]:
    """One system after the other warms up and is measured for memory; then they take turns."""
    workers: dict[str, Worker] = {}
    found: dict[str, dict] = {}
    try:
        for system in systems:
            with others_go_on(system.name, workers):
                workers[system.name] = worker = Worker(system, task, places)
                memory, _ = worker.peak_memory(1)
                found[system.name] = {"memory_bytes": memory, "turns": []}
        for _ in range(rounds):
            for name, worker in list(workers.items()):
                with others_go_on(name, workers):
                    found[name]["turns"].append(undisturbed(worker, 1))
    finally:
        for worker in workers.values():
            worker.close()
    return {name: row | _medians(row["turns"]) for name, row in found.items() if row["turns"]}


def _medians(turns: list[dict]) -> dict:
    seconds = sorted(turn["seconds"] for turn in turns)
    phases = {name: median(turn["phases"][name] for turn in turns) for name in turns[0]["phases"]}
    return {
        "seconds": median(seconds),
        "fastest": seconds[0],
        "slowest": seconds[-1],
        "others": max(turn["others"] for turn in turns),
        "loss": turns[-1]["loss"],
        "phases": phases,
    }


def _print(name: str, found: dict[str, dict], rounds: int) -> None:
    """A row for each system, then how much faster ours are."""
    print(f"\n{name}: medians of {rounds} epochs")
    print(f"{'system':14}{'s/epoch':>9}{'from':>8}{'to':>8}{'others':>8}{'GB':>7}{'loss':>9}")
    for system, row in found.items():
        seconds = f"{row['seconds']:9.2f}{row['fastest']:8.2f}{row['slowest']:8.2f}"
        phases = "  ".join(f"{key} {value:.2f}" for key, value in row["phases"].items())
        memory = f"{row['others']:8.0%}{row['memory_bytes'] / 1e9:7.2f}{row['loss']:9.4f}"
        print(f"{system:14}{seconds}{memory}  {phases}")
    for mine in ("ours", "ours-cached"):
        for peer in set(found) - {"ours", "ours-cached"} if mine in found else ():
            ratio = found[peer]["seconds"] / found[mine]["seconds"]
            less = found[mine]["memory_bytes"] < found[peer]["memory_bytes"]
            said = "less memory" if less else "MORE MEMORY"
            wanted = WANTED.get(peer)
            said += f" (wanted {wanted})" if wanted else ""
            said += "  NOT REACHED" if wanted and ratio < wanted else ""
            print(f"{mine}: {ratio:.2f} x as fast as {peer}, {said}")
    sys.stdout.flush()


if __name__ == "__main__":
    app()
