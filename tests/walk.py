"""Every command of the command line at places that refuse to be written to, from one process.

`python tests/walk.py ROOT WALKS`, in a mount namespace of its own and without root's right to
write everywhere (see `test_walk.py`), makes what commands need in ROOT and prints a line of JSON
for each command at each place. A command runs in a fork, where all imports are done already.
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

EPOCH = ["--epochs", "1", "--layers", "1", "--fanouts", "2", "--hidden", "4", "--threads", "1"]
PIPELINE = ["--graph", "ROOT/g.h5", "--shards", "ROOT/s", "--train", "--layers 1 --fanouts 2"]
WRITING = {
    "demo": ["--folder", "OUT"],
    "data generate communities": ["OUT", "--vertices", "900", "--features", "16"],
    "data generate rmat": ["OUT", "--vertices", "512", "--features", "32"],
    "data generate grid": ["OUT", "--vertices", "900", "--features", "24"],
    "data generate digits": ["OUT"],
    "data generate events": ["OUT", "--vertices", "500", "--events", "6000"],
    "data convert npz": ["ROOT/g.npz", "OUT", "--arcs", "once"],
    "data convert npy": ["ROOT/npy", "OUT"],
    "data convert edges": ["ROOT/e.csv", "OUT", "--vertices", "ROOT/v.csv"],
    "data convert ogb": ["ROOT/ogbn_x", "OUT"],
    "data convert events": ["ROOT/events.csv", "OUT"],
    "partition": ["ROOT/g.h5", "OUT", "--shards", "2"],
    "train": ["ROOT/s", "--run", "OUT", *EPOCH],
    "predict": ["ROOT/r", "OUT"],
    "export": ["ROOT/r", "OUT"],
    "report": ["ROOT/r", "--out", "OUT"],
    "plan": ["ROOT/s", "--calibrate", "--threads", "1"],
    "slurm write": ["OUT", *PIPELINE],
    "slurm submit": ["OUT", *PIPELINE],
    "launch": ["-n", "1", "--no-bind", "--", "data", "generate", "grid", "OUT"],
}
"Command: its arguments; OUT is what it writes (`plan`: the cache, which is there)."

PRINTING = {
    "inspect": ["ROOT/s"],
    "verify": ["ROOT/s"],
    "status": ["ROOT/r"],
    "cancel": ["ROOT/r"],
    "evaluate": ["ROOT/r"],
    "doctor": [],
    "completion": ["bash"],
}
"Commands that write to their standard output alone."


def main(root, walks):
    """Walk: name of a place -> the commands there."""
    make_inputs(root)
    for place, commands in walks.items():
        where = root / place.replace(" ", "-")
        PLACES[place](where)
        for command in commands:
            found = walked(root, where, place, command)
            print(json.dumps({"place": place, "command": command, **found}), flush=True)


def small_disk(where, free="64k"):
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={free}", "tmpfs", str(where)]
    subprocess.run(mount, check=True)


def full_disk(where):
    small_disk(where)
    (where / "filler").write_bytes(bytes(64 << 10))


def read_only(where):
    small_disk(where)
    subprocess.run(["mount", "-o", "remount,ro", str(where)], check=True)


def denied(where):
    where.mkdir()
    where.chmod(0o500)


def a_file(where):
    where.write_text("")


PLACES = {
    "small disk": small_disk,
    "full disk": full_disk,
    "read-only": read_only,
    "denied": denied,
    "a file": a_file,
    "too long": Path.mkdir,
    "gone": Path.mkdir,
    "closed pipe": Path.mkdir,
    "full output": Path.mkdir,
}
OUTPUTS = ("closed pipe", "full output")
"Places where it is the standard output that cannot be written to."


def walked(root, where, place, command):
    """How a command ends at a place: status, what it says on stderr, what it leaves behind."""
    out = where / ("x" * 300 if place == "too long" else "out")
    before, log = listed(where), root / "log"
    written = "out" if place == "gone" else str(out)
    line = [*command.split(), *{**WRITING, **PRINTING}[command]]
    given = [word.replace("ROOT", str(root)).replace("OUT", written) for word in line]
    begin = time.monotonic()
    pid = os.fork()
    if pid == 0:
        if command == "plan":
            os.environ["BATCHGNN_CACHE"] = str(out)  # of rates; the kernels' was chosen before
        as_child(where, place, log)
        importlib.import_module("batchgnn.cli").main(given)
        sys.exit(0)
    _, status = os.waitpid(pid, 0)
    left = sorted(listed(where) - before)
    if place not in ("read-only", "denied", "a file"):
        for name in left:
            remove(where / name)
    return {
        "status": os.waitstatus_to_exitcode(status),
        "said": log.read_text(errors="replace"),
        "left": left,
        "seconds": round(time.monotonic() - begin, 2),
    }


def as_child(where, place, log):
    """The streams, the folder and the cache of a command."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 2)
    if place == "closed pipe":
        read, write = os.pipe()
        os.close(read)
        os.dup2(write, 1)
    else:
        name = "/dev/full" if place == "full output" else os.devnull
        os.dup2(os.open(name, os.O_WRONLY), 1)
    if place == "gone":
        gone = where / "folder"
        gone.mkdir()
        os.chdir(gone)
        gone.rmdir()


def listed(where):
    return {path.name for path in where.iterdir()} if where.is_dir() else set()


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def in_fork(*given):
    """Run a command that must end well."""
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        importlib.import_module("batchgnn.cli").main([str(word) for word in given])
        sys.exit(0)
    if os.waitpid(pid, 0)[1]:
        raise SystemExit(f"{given} failed")


def make_inputs(root):
    """A graph of 300 vertices in every format, its shards, and a run."""
    for name in MODULES:
        importlib.import_module(name)
    rng = np.random.default_rng(0)
    source, target = rng.integers(0, 300, (2, 900))
    features = rng.normal(size=(300, 40)).astype(np.float32)
    label, split = rng.integers(0, 3, 300), rng.permutation(np.arange(300) % 3 + 1)
    masks = {f"{name}_mask": split == n for n, name in enumerate(("train", "val", "test"), 1)}
    edges = np.stack([source, target])
    np.savez(root / "g.npz", edge_index=edges, directed=False, x=features, y=label, **masks)
    (root / "npy").mkdir()
    for name, array in {"edge_index": edges.T, "node_feat": features, "labels": label}.items():
        np.save(root / "npy" / f"{name}.npy", array)
    np.savetxt(root / "e.csv", edges.T, "%d", ",", header="source,target", comments="")
    events = np.stack([*rng.integers(0, 300, (2, 6000)), np.arange(6000)], axis=1)
    head = "source,target,time"
    np.savetxt(root / "events.csv", events, "%d", ",", header=head, comments="")
    names = ["train", "val", "test"]
    rows = [
        ",".join([str(v), str(label[v]), names[split[v] - 1], *(f"{x:.3f}" for x in features[v])])
        for v in range(300)
    ]
    head = ",".join(["id", "label", "split", *(f"x{i}" for i in range(40))])
    (root / "v.csv").write_text("\n".join([head, *rows]) + "\n")
    make_ogb(root / "ogbn_x", edges.T, features, label, split)
    in_fork("data", "convert", "npz", root / "g.npz", root / "g.h5", "--arcs", "once")
    in_fork("partition", root / "g.h5", root / "s", "--shards", "2")
    in_fork("train", root / "s", "--run", root / "r", *EPOCH)


def make_ogb(folder, edges, features, label, split):
    """The folder of a dataset, as it is downloaded."""
    raw = {"edge": edges, "node-feat": features, "node-label": label}
    raw |= {"num-node-list": [len(label)], "num-edge-list": [len(edges)]}
    parts = {
        name: np.flatnonzero(split == n) for n, name in enumerate(("train", "valid", "test"), 1)
    }
    for name, values in [
        *((f"raw/{name}", values) for name, values in raw.items()),
        *((f"split/time/{name}", values) for name, values in parts.items()),
    ]:
        path = folder / f"{name}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(path, values, "%g", ",")


MODULES = (
    "batchgnn.cli",
    "batchgnn.launch.demo",
    "batchgnn.data.cli",
    "batchgnn.data.convert_events",
    "batchgnn.data.event_stream",
    "batchgnn.partition.cli",
    "batchgnn.run.train",
    "batchgnn.run.predict",
    "batchgnn.run.export",
    "batchgnn.run.evaluate",
    "batchgnn.report.command",
    "batchgnn.plan.command",
    "batchgnn.plan.calibrate",
    "batchgnn.launch.slurm_cli",
    "batchgnn.launch.slurm_check",
    "batchgnn.launch.cli",
    "batchgnn.doctor.command",
    "safetensors.numpy",
    "sklearn.datasets",
    "sklearn.neighbors",
)
"Imported once, before the forks."

if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
