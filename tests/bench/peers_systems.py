"""The systems of the comparison with peers as processes that the driver talks to."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
from bench.peers_worker import AnyTask
from cluster.hosts import Cluster

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
TUNED_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 33),
    "MALLOC_TOP_PAD_": str(1 << 28),
}
"""glibc keeps freed memory instead of giving it back at every step: a third off torch's steps, for
more memory. It is no default of the peers; BatchGNN does not get it."""
MARK = "BATCHGNN_BENCH_SYSTEM"
"Variable that names the system in all its processes."
MEMORY_PERIOD_S = 0.2
TURN = 8
"Steps of a turn, and BatchGNN's macrobatch: a turn trains as many steps as it prepares."


@dataclass(frozen=True)
class Places:
    """Where things are.

    work: exported graphs, partitions and logs; peers: Python of the peers
    hosts: the emulated hosts that systems of several processes run on; None: this machine
    """

    work: Path
    shards: Path
    peers: Path
    order: str
    hosts: Cluster | None = None


Command = Callable[[Any, Places], list[str]]
"The words that start a system on an AnyTask."


@dataclass(frozen=True)
class System:
    """How a system is started.

    processes: trainers or ranks, which share the threads; malloc: with TUNED_MALLOC
    """

    name: str
    command: Command
    processes: int = 1
    is_peer: bool = True
    malloc: bool = False
    options: tuple[tuple[str, object], ...] = ()

    def environment(self, task: AnyTask, hosts: Cluster | None) -> dict[str, str]:
        """Variables of its processes: threads of every library, imports, and MARK."""
        names = ("OMP", "MKL", "OPENBLAS", "NUMBA")
        threads = str(task.threads // self.processes)
        environment = hosts.environment() if hosts and not self.is_peer else dict(os.environ)
        environment |= {f"{name}_NUM_THREADS": threads for name in names}
        environment |= {"PYTHONPATH": "" if self.is_peer else str(ROOT), MARK: self.name}
        if self.is_peer:
            environment["DGLBACKEND"] = "pytorch"
        return environment | TUNED_MALLOC if self.malloc else environment

    def task(self, task: AnyTask) -> AnyTask:
        """The task of one of its processes."""
        options = dict(self.options) | (task.options or {}) if not self.is_peer else None
        return replace(task, threads=task.threads // self.processes, options=options)


def _dgl(engine: str) -> Command:
    return lambda task, places: [str(places.peers), str(HERE / "peers_dgl.py"), engine]


def _distdgl(parts: int, engine: str) -> Command:
    def command(task: AnyTask, places: Places) -> list[str]:
        partitions = places.work / f"{places.order}-{engine}-{parts}"
        script = str(HERE / "peers_cluster.py")
        words = [
            places.peers,
            partitions,
            parts,
            engine,
            places.hosts.state if places.hosts else "",
        ]
        return [sys.executable, script, *map(str, words)]

    return command


def _ours(ranks: int) -> Command:
    def command(task: AnyTask, places: Places) -> list[str]:
        worker = [sys.executable, str(HERE / "peers_ours.py")]
        launch = ["mpirun", "-n", str(ranks), "--bind-to", "none"]
        if places.hosts:
            return places.hosts.host("n1").argv([*launch, *worker], str(HERE))
        return worker if ranks == 1 else [*launch, "--oversubscribe", *worker]

    return command


def _systems() -> list[System]:
    whole = (("macrobatch", TURN),)
    cached = (*whole, ("aggregate_cache", "memory"))
    narrow = (*cached, ("feature_cache", "128M"), ("feature_dtype", "bfloat16"))
    peers = [System(name, _dgl(name)) for name in ("dgl", "graphbolt")]
    peers += [System(f"distdgl-{n}", _distdgl(n, "dgl"), n) for n in (2, 4)]
    peers += [System(f"distgraphbolt-{n}", _distdgl(n, "graphbolt"), n) for n in (2, 4)]
    peers += [replace(s, name=f"{s.name}-malloc", malloc=True) for s in peers]
    ours = [System(f"ours-{n}", _ours(n), n, is_peer=False, options=whole) for n in (1, 2, 4)]
    options = {"cached": cached, "narrow": narrow}
    ours += [replace(s, name=f"{s.name}-{k}", options=options[k]) for k in options for s in ours]
    return peers + ours


SYSTEMS = {system.name: system for system in _systems()}


class WorkerError(Exception):
    """A system's processes ended; its log says why."""


class Worker:
    """A running system. Between its answers all its processes wait."""

    def __init__(self, system: System, task: AnyTask, places: Places):
        self.system = system
        self.log = places.work / f"{system.name}.log"
        task = replace(task, threads=max(task.threads, system.processes))
        command = [*system.command(task, places), system.task(task).to_argument()]
        begin = time.perf_counter()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, env=system.environment(task, places.hosts), cwd=HERE, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self.ready = self._answer()
        self.load_s = time.perf_counter() - begin

    def train(self, steps: int) -> dict:
        """Its answer to so many steps; `others` is the share of the cores that others used."""
        assert self.process.stdin
        begin, busy, mine = time.perf_counter(), _busy_s(), self.cpu_s()
        with suppress(BrokenPipeError):  # the log says more
            self.process.stdin.write(f"{steps}\n")
            self.process.stdin.flush()
        said = self._answer()
        others = _busy_s() - busy - (self.cpu_s() - mine)
        cores = (time.perf_counter() - begin) * psutil.cpu_count()
        return {**said, "others": max(0.0, others / cores)}

    def peak_memory(self, steps: int) -> tuple[float, dict]:
        """Largest memory of all its processes together over so many steps, and its answer.

        Proportional set sizes: pages that several processes map count once. Reading them costs
        time, so these steps are not to be timed.
        """
        peak, done = [0.0], threading.Event()

        def watch() -> None:
            while not done.wait(MEMORY_PERIOD_S):
                peak[0] = max(peak[0], self.memory())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            said = self.train(steps)
        finally:
            done.set()
            watcher.join()
        return peak[0], said

    def memory(self) -> float:
        """Proportional set size of all its processes now, in bytes."""
        return self._sum(lambda process: process.memory_full_info().pss)

    def close(self) -> None:
        """Ask it to end; kill what does not."""
        assert self.process.stdin
        if self.process.poll() is not None:
            return
        processes = self._processes()
        with suppress(BrokenPipeError):
            self.process.stdin.write("0\n")  # mpirun does not pass on the end of its input
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self.process.wait()

    def cpu_s(self) -> float:
        """Processor seconds of all its processes so far."""
        return self._sum(lambda process: sum(process.cpu_times()[:2]))

    def _sum(self, quantity: Callable[[psutil.Process], float]) -> float:
        """A quantity of all its processes together."""
        total: float = 0
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                total += quantity(process)
        return total

    def _processes(self) -> list[psutil.Process]:
        """All that bear its mark: a daemon on an emulated host is nobody's child."""
        name, found = self.system.name, []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == name:
                    found.append(process)
        return found

    def _answer(self) -> dict:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        status = self.process.wait()
        last = "".join(self.log.read_text().splitlines(keepends=True)[-15:])
        raise WorkerError(f"{self.system.name} ended with status {status}; {self.log} says\n{last}")


def _busy_s() -> float:
    """Seconds that all cores have been busy, or taken away by a hypervisor, since boot."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - times.iowait - times.guest - times.guest_nice
