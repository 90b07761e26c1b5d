"""The ranks of a job: communicators of the job and of one node, one for each thread that talks."""

import atexit
import contextlib
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import cast

from batchgnn.base.environment import (
    LAST_CALLS_VARIABLE,
    SEGMENTS,
    leave_out_slow_transports,
    size_from_environment,
    tasks_of_srun,
)
from batchgnn.base.errors import RankError
from batchgnn.base.leftovers import remove_segments, segments_of, sweep
from batchgnn.comm.loss import Lost, revoke
from batchgnn.comm.mpi import MPI
from batchgnn.comm.shared import Layout, SharedArrays
from batchgnn.comm.values import values_of_all
from batchgnn.watch import trace

Comm = MPI.Intracomm
"What every other folder calls a communicator."


@dataclass(frozen=True)
class Ranks:
    """Some of the ranks of a job, and this one's place among them; fields as of `Grid`."""

    world: MPI.Intracomm
    background: MPI.Intracomm

    @property
    def rank(self) -> int:
        """This rank's number among them."""
        return self.world.rank

    @property
    def size(self) -> int:
        """How many they are."""
        return self.world.size


def ranks_of_node(world: MPI.Intracomm) -> MPI.Intracomm:
    """Those that share this machine's memory; collective."""
    return cast(MPI.Intracomm, world.Split_type(MPI.COMM_TYPE_SHARED))


class Grid:
    """The communicators of a job, of its own so that no other library's messages meet ours.

    world, rank, size            all ranks, for the main thread
    background                   the same ranks, for a thread that samples or moves rows meanwhile
    fetching                     the same ranks, for the thread that fetches what was sampled
    watch                        the same ranks, for the watchdog's messages
    node, node_rank, node_size   the ranks that share this machine's memory
    host                         name of this machine
    thread_multiple              whether several threads may call MPI at once
    members                      by name of a communicator: its ranks' numbers among all
    before_free                  what is called first when the communicators are freed
    lost                         the ranks that the job had, and that are gone

    Communicators have names, the same on all their ranks and never used twice: collectives are
    counted by them (`trace.collective`).
    A context manager; leaving it cleanly frees the communicators, which is collective.
    """

    def __init__(self, comm: MPI.Intracomm | None = None, lost: tuple[Lost, ...] = ()):
        """Duplicate `comm`, by default the world; collective."""
        self.lost = lost
        world = (MPI.COMM_WORLD if comm is None else comm).Dup()
        self.rank, self.size = world.rank, world.size
        self.number = _next_number(world)
        self.members: dict[str, list[int]] = {}
        self.world = self._named("world", world)
        self.background = self._named("background", world.Dup())
        self.fetching = self._named("fetching", world.Dup())
        self.watch = self._named("watch", world.Dup())
        self.node = self._named("node", ranks_of_node(world))
        self.node_rank, self.node_size = self.node.rank, self.node.size
        self.host = socket.gethostname()
        self.before_free: list[Callable[[], None]] = []
        self._shared: list[SharedArrays] = []
        self._some: list[Ranks] = []
        self._parts: list[Grid] = []
        self.thread_multiple = MPI.Query_thread() == MPI.THREAD_MULTIPLE

    def __enter__(self) -> "Grid":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Free the communicators, unless ranks may be failing apart, or some are gone."""
        if error is None and not self.lost:
            self.free()

    def share(self, layout: Layout, some: MPI.Intracomm | None = None) -> SharedArrays:
        """Arrays that the ranks of this node, or some, share until `free`; collective on them."""
        self._shared.append(SharedArrays(self.node if some is None else some, layout))
        return self._shared[-1]

    def some(self, group: int) -> Ranks:
        """The ranks that give the same group, in the order of all, until `free`; collective."""
        kind, both = f"some {len(self._some)}", (self.world, self.background)
        world, background = (cast(MPI.Intracomm, comm.Split(group)) for comm in both)
        self._some.append(
            Ranks(self._named(kind, world), self._named(f"{kind} background", background))
        )
        return self._some[-1]

    def part(self, group: int) -> "Grid":
        """The ranks that give the same group as a grid of their own, until `free`; collective."""
        comm = cast(MPI.Intracomm, self.world.Split(group))
        part = Grid(comm)
        comm.Free()
        ranks = values_of_all(part.world, self.rank)
        for name, members in part.members.items():
            self.members[name] = [ranks[each] for each in members]
        self._parts.append(part)
        return part

    def _named(self, kind: str, comm: MPI.Intracomm) -> MPI.Intracomm:
        """The communicator with a name and known members; collective over it."""
        members = values_of_all(comm, self.rank)
        comm.name = f"grid {self.number}, {kind}, from rank {members[0]}"
        self.members[comm.name] = members
        return comm

    def revoke(self) -> None:
        """A rank is gone: let the calls of all others raise; see `comm.loss`."""
        for part in self._parts:
            part.revoke()
        for ranks in self._some:
            revoke([ranks.world, ranks.background])
        revoke([self.node, self.watch, self.fetching, self.background, self.world])

    def free(self) -> None:
        """Give shared arrays and communicators back; collective."""
        for ending in self.before_free:
            ending()
        for part in self._parts:
            part.free()
        for shared in self._shared:
            shared.free()
        for ranks in self._some:
            ranks.background.Free()
            ranks.world.Free()
        for comm in (self.node, self.watch, self.fetching, self.background, self.world):
            comm.Free()


_num_grids = 0


def _next_number(world: MPI.Intracomm) -> int:
    """Above that of any grid that any of the ranks has opened; collective."""
    global _num_grids
    _num_grids = 1 + max(values_of_all(world, _num_grids))
    return _num_grids


def start(comm: MPI.Intracomm | None = None, lost: tuple[Lost, ...] = ()) -> Grid:
    """Start MPI unless it runs, with thread support if there is any; collective.

    MPI is ended when Python exits. Raises RankError when mpirun or srun does not serve this MPI.
    """
    begins = not MPI.Is_initialized()
    if begins:
        leave_out_slow_transports()
        MPI.Init_thread(MPI.THREAD_MULTIPLE)
        atexit.register(_finalize)
        if folder := os.environ.get(LAST_CALLS_VARIABLE):
            with contextlib.suppress(OSError):  # a launcher without a disk to write to
                trace.keep_last_call(Path(folder) / str(MPI.COMM_WORLD.rank))
                segments = "\n".join(map(str, segments_of()))
                (Path(folder) / f"{SEGMENTS}{MPI.COMM_WORLD.rank}").write_text(segments)
    if (tasks := tasks_of_srun()) > 1 and MPI.COMM_WORLD.size == 1:
        raise RankError(
            f"srun started {tasks} tasks, but each sees itself alone: "
            "srun --mpi=pmix (Open MPI) or pmi2 (MPICH) lets them meet; srun --mpi=list says "
            "which there are."
        )
    started = size_from_environment()
    if started > 1 and MPI.COMM_WORLD.size == 1:
        library = MPI.Get_library_version().partition(",")[0].split("\n")[0].strip()
        raise RankError(
            f"mpirun started {started} ranks, but each sees itself alone: mpi4py uses {library}, "
            "and mpirun belongs to another MPI. Take the mpirun of the same one, for example "
            "with: batchgnn launch --mpirun PATH"
        )
    grid = Grid(comm, lost)
    if begins and grid.node_rank == 0:
        sweep()
    return grid


def describe() -> dict[str, str]:
    """Vendor and version of the MPI that runs, its file, and how many threads may call it."""
    vendor, version = MPI.get_vendor()
    levels = ("SINGLE", "FUNNELED", "SERIALIZED", "MULTIPLE")
    level = next(n for n in levels if getattr(MPI, f"THREAD_{n}") == MPI.Query_thread())
    mapped = (line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines())
    library = next((path for path in mapped if Path(path).name.startswith("libmpi")), "unknown")
    return {
        "vendor": vendor,
        "version": ".".join(map(str, version)),
        "library": library,
        "threads": f"MPI_THREAD_{level}",
    }


def _finalize() -> None:
    if not MPI.Is_finalized():
        sys.stdout.flush()
        sys.stderr.flush()
        segments = segments_of()
        MPI.Finalize()
        remove_segments(segments)
