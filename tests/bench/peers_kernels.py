"""Kernels of BatchGNN beside DGL's: one product over the whole graph, and sampling.

Both sides take turns, in processes with the same number of threads, on the same graph in the same
vertex order. The driver is `peers.py --kernels`; the workers are peers_kernels_dgl.py and
peers_kernels_ours.py, which get kernels' names and answer with seconds.
"""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench.peers_systems import ROOT, TUNED_MALLOC, Places
from bench.peers_worker import SETTINGS, Task

HERE = Path(__file__).resolve().parent
WIDTHS = (100, 256)
ROUNDS = 5


class KernelWorker:
    """A process that times kernels when asked."""

    def __init__(self, command: list, task: Task, environment: dict[str, str]):
        names = ("OMP", "MKL", "OPENBLAS", "NUMBA")
        threads = {f"{name}_NUM_THREADS": str(task.threads) for name in names}
        self.process = subprocess.Popen(
            [*command, task.to_argument()], env=os.environ | threads | environment, cwd=HERE,
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def time(self, *kernel) -> dict:
        """What the worker says of one run of a kernel: seconds, and bytes or edges."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(kernel) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"{kernel} ended its worker with status {self.process.wait()}")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def compare_kernels(places: Places, threads: int) -> dict:
    """Time all kernels of both sides, print a table, return the medians."""
    graph = str(places.work / places.order)
    found = {}
    for count in range(1, threads + 1):
        task = Task(graph=graph, shards=str(places.shards), batch=1000, threads=count,
                    **SETTINGS["C"])  # fmt: skip
        with ExitStack() as stack:
            dgl = [places.peers, "peers_kernels_dgl.py"]
            ours = [sys.executable, "peers_kernels_ours.py"]
            sides = {
                "dgl": KernelWorker(
                    dgl, task, {"PYTHONPATH": "", "DGLBACKEND": "pytorch"} | TUNED_MALLOC
                ),
                "ours": KernelWorker(ours, replace(task, options={}), {"PYTHONPATH": str(ROOT)}),
            }
            for side in sides.values():
                stack.enter_context(side)
            found[count] = _products(sides, count) | _sampling(sides, count)
    return found


def _products(sides: dict[str, KernelWorker], threads: int) -> dict:
    """GB/s of gathered rows."""
    found = {}
    for width in WIDTHS:
        kernels = {
            ("dgl", "spmm"): "dgl",
            ("ours", "gather"): "ours: bare gather of the rows",
            ("ours", "spmm"): "ours",
            ("ours", "spmm bfloat16"): "ours, bfloat16 rows",
        }
        rates = _rates(sides, kernels, width)
        found |= {f"{name} {width}": rate for name, rate in rates.items()}
        for name, rate in rates.items():
            print(f"{threads} threads, rows of {width:3}: {rate / 1e9:6.1f} GB/s of float32 rows  "
                  f"{rate / rates['dgl']:5.2f} x dgl  {name}", flush=True)  # fmt: skip
    return found


def _sampling(sides: dict[str, KernelWorker], threads: int) -> dict:
    """Edges per second, sampled and relabelled."""
    found = {}
    for setting, values in SETTINGS.items():
        if setting == "C":  # A's fanouts
            continue
        kernels = {("dgl", "sample"): "dgl", ("dgl", "graphbolt"): "graphbolt",
                   ("ours", "sample"): "ours"}  # fmt: skip
        rates = _rates(sides, kernels, values["fanouts"])
        best = max(rates["dgl"], rates["graphbolt"])
        found |= {f"sampling {setting} {name}": rate for name, rate in rates.items()}
        for name, rate in rates.items():
            print(f"{threads} threads, sampling {values['fanouts']}: {rate / 1e6:6.1f} M edges/s  "
                  f"{rate / best:5.2f} x the fastest peer  {name}", flush=True)  # fmt: skip
    return found


def _rates(sides: dict[str, KernelWorker], kernels: dict, argument) -> dict[str, float]:
    """Work per second of each kernel, medians over rounds in turns, after one that warms up."""
    rates: dict[str, list[float]] = {name: [] for name in kernels.values()}
    for turn in range(1 + ROUNDS):
        for (side, kernel), name in kernels.items():
            said = sides[side].time(kernel, argument)
            if turn:
                rates[name].append(said["work"] / said["seconds"])
    return {name: median(each) for name, each in rates.items()}
