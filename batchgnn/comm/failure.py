"""One rank's failure ends all: failing together, aborting, and naming the rank that fell silent."""

import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from batchgnn.base import errors
from batchgnn.base.environment import HOSTS, LAST_CALLS_VARIABLE
from batchgnn.base.errors import BatchGNNError, RankError
from batchgnn.base.refused import refused
from batchgnn.comm.grid import Grid
from batchgnn.comm.loss import is_loss
from batchgnn.comm.mpi import MPI
from batchgnn.comm.values import decode, encode, values_of_all
from batchgnn.watch import trace

LISTED = 8
"Ranks, or different failures of ranks, that a message lists at most."


@dataclass(frozen=True)
class _Failure:
    """What one rank tells the others about its exception."""

    kind: str
    text: str
    is_user_error: bool
    trace: str
    host: str
    severity: float = 0

    @classmethod
    def of(cls, error: Exception) -> "_Failure":
        user = isinstance(error, BatchGNNError)
        kept = "" if user else "".join(traceback.format_exception(error))
        severity = float(getattr(error, "severity", 0))
        return cls(type(error).__name__, str(error), user, kept, socket.gethostname(), severity)


@contextmanager
def fail_together(comm: MPI.Comm, doing: str) -> Iterator[None]:
    """Raise on every rank when the block raised on any; the block must hold no collective call.

    A user error that is the same on all failing ranks is raised as itself, with the ranks unless
    they are all; anything else as a RankError that lists the ranks and how far they are, with the
    traceback of the first that failed through a fault.
    """
    mine: Exception | None = None
    try:
        yield
    except Exception as error:
        mine = refused(error) or error
    with trace.collective("agreement", comm.name, detail=doing):
        values = values_of_all(comm, None if mine is None else asdict(_Failure.of(mine)))
    if any(values):
        said = [None if value is None else _Failure(**value) for value in values]
        raise _joined(said, doing) from mine


def _joined(said: list[_Failure | None], doing: str) -> BatchGNNError:
    """The one exception that stands for the failures of all ranks."""
    failed = {rank: failure for rank, failure in enumerate(said) if failure}
    worst = max(failed, key=lambda rank: failed[rank].severity)
    first, share = failed[worst], f"{len(failed)} of {len(said)} ranks"
    kind = getattr(errors, first.kind, None)
    error: BatchGNNError
    if (
        first.is_user_error
        and kind
        and len({f.kind for f in failed.values()}) == 1
        and (first.severity or len({f.text for f in failed.values()}) == 1)
    ):
        error = kind(first.text + _on_which(failed, len(said), worst))
    else:
        faults = [f.trace for f in failed.values() if f.trace]
        text = f"{doing} failed on {share}; {trace.where()}\n{_each(failed)}"
        error = RankError("\n".join([text, *faults[:1]]))
        error.exit_status = 1 if faults else 2
    error.on_all_ranks = True
    return error


def _on_which(failed: dict[int, _Failure], num_ranks: int, worst: int) -> str:
    """Which ranks say what one of them said; nothing where all say the very same."""
    share = f"\n  on {len(failed)} of {num_ranks} ranks"
    if len({f.text for f in failed.values()}) > 1:
        return f"{share}; rank {worst} (host {failed[worst].host}) lacks most"
    if len(failed) == num_ranks:
        return ""
    places = [f"rank {rank} (host {f.host})" for rank, f in failed.items()]
    return f"{share}: {', '.join(places[:LISTED])}{_more(places)}; {trace.where()}"


def _each(failed: dict[int, _Failure]) -> str:
    """A line for each different failure: the first rank that has it, and how many others do."""
    ranks: dict[tuple[str, str], list[int]] = {}
    for rank, f in failed.items():
        ranks.setdefault((f.kind, f.text), []).append(rank)
    lines = [
        f"  rank {having[0]} (host {failed[having[0]].host})"
        f"{f' and {len(having) - 1} others' * bool(having[1:])}: {kind}: {text}"
        for (kind, text), having in ranks.items()
    ]
    return "\n".join(lines[:LISTED]) + _more(lines).replace(" and", "\n  and")


def _more(listed: list[str]) -> str:
    return f" and {len(listed) - LISTED} more" if len(listed) > LISTED else ""


@contextmanager
def abort_on_exception(comm: MPI.Comm) -> Iterator[None]:
    """End the whole job when the block, or a thread, raises on this rank alone.

    Errors from `fail_together` are on every rank and pass; on one rank everything passes. Others
    print rank, host and traceback (a user error its message) and abort.
    """
    before = threading.excepthook

    def thread_hook(args: Any) -> None:
        if args.exc_type is not SystemExit:
            _abort(comm, args.exc_value)

    if comm.size > 1:
        threading.excepthook = thread_hook
    try:
        yield
    except BaseException as error:
        if comm.size == 1 or _is_shared(error):
            raise
        _abort(comm, error)
    finally:
        threading.excepthook = before


def _is_shared(error: BaseException) -> bool:
    """Whether all ranks leave in this way, so that none waits for another."""
    if isinstance(error, SystemExit):
        return not error.code
    return getattr(error, "on_all_ranks", False) or isinstance(error, GeneratorExit)


def _abort(comm: MPI.Comm, error: BaseException) -> NoReturn:
    where = f"rank {comm.rank} on {MPI.Get_processor_name()}"
    now, status = trace.where() or "before the first collective", 1
    error = refused(error) or error
    if isinstance(error, BatchGNNError):
        status, text = error.exit_status, f"batchgnn: {where}: {error}\n  {now}\n"
    elif isinstance(error, KeyboardInterrupt):
        status, text = 130, f"batchgnn: {where} was interrupted.\n"
    elif isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else 1
        text = f"batchgnn: {where} ended with status {error.code}.\n"
    else:
        said = "".join(traceback.format_exception(error))
        text = f"batchgnn: {where} failed; {now}; all ranks are ended.\n{said}"
    _end_job(comm, text, status)


def _end_job(comm: MPI.Comm, text: str, status: int) -> NoReturn:
    """Print, let the launcher forward it, and abort every rank."""
    sys.stdout.flush()
    sys.stderr.write(text)
    sys.stderr.flush()
    time.sleep(0.3)
    if MPI.Query_thread() == MPI.THREAD_MULTIPLE or threading.current_thread() is (
        threading.main_thread()
    ):
        comm.Abort(status)
    os._exit(status)


def _tell_launcher(hosts: list[str]) -> None:
    """The hosts by rank, where `batchgnn launch` on this machine can read them."""
    if folder := os.environ.get(LAST_CALLS_VARIABLE):
        with suppress(OSError):
            (Path(folder) / HOSTS).write_text(json.dumps(hosts))


ASK, ANSWER, END = 1, 2, 3
MOST_NAMED = 8
ANSWER_S = 5.0
"How long a rank has to say how far it is."

"Ranks of a group that a message names."


class _HowFar(NamedTuple):
    """A rank's answer: how many collectives of a communicator it has entered, and where it is."""

    number: int
    where: str


class Watchdog:
    """A thread that ends the job when a collective waits too long, and names whom it waits for.

    It wakes up about once a second. After `timeout_s` in one collective (see trace.collective) it
    asks the ranks of that communicator how far they are, by messages on `grid.watch`; a rank that
    does not answer is stopped or its machine is gone, one that has entered fewer collectives of
    the communicator has not arrived. Asking needs MPI_THREAD_MULTIPLE and a communicator of
    `grid`; without them only this rank's collective is named. With `timeout_s` 0 there is no
    watchdog. Where the job goes on without lost ranks, those that it waits for are killed instead,
    each by a rank of its host.
    """

    def __init__(
        self,
        grid: Grid,
        timeout_s: float = 300.0,
        answer_s: float = ANSWER_S,
        *,
        drops: bool = False,
    ):
        """Collective: ranks learn each other's host and process id.

        drops: whether the job goes on without lost ranks
        """
        self.grid, self.timeout_s, self.answer_s = grid, timeout_s, answer_s
        self.drops = drops and grid.thread_multiple
        self.poll_s = min(1.0, timeout_s / 4)
        all_hosts = values_of_all(grid.world, [grid.host, os.getpid()])
        self.processes = [(host, pid) for host, pid in all_hosts]
        self.places = [f"host {host}, process {pid}" for host, pid in all_hosts]
        if grid.node_rank == 0:
            _tell_launcher([host for host, _ in all_hosts])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._patience = 0
        self._sent: list[tuple[MPI.Request, np.ndarray]] = []

    def __enter__(self) -> "Watchdog":
        if self.timeout_s > 0 and self.grid.size > 1:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            self._watch()
        except MPI.Exception as error:
            if not (self.drops and is_loss(error)):  # else the other threads notice too
                raise

    def _watch(self) -> None:
        while not self._stop.wait(self.poll_s):
            if self.grid.thread_multiple:
                self._answer()
            for call in trace.last_calls_on().values():
                if call.under_way and time.monotonic() - call.entered_s > self.timeout_s:
                    self._accuse(call)
                    break

    def _answer(self) -> None:
        """Tell every rank that asked how far this one is."""
        comm, status = self.grid.watch, MPI.Status()
        while comm.Iprobe(MPI.ANY_SOURCE, ASK, status):
            asked, lane, question = self._receive(status)
            last = trace.last_calls_on().get(asked)
            number = last.number if last else 0
            self._send([question, number, self._where(lane)], status.source, ANSWER)
        while self.drops and comm.Iprobe(MPI.ANY_SOURCE, END, status):
            _kill(self._receive(status))

    def _where(self, lane: str) -> str:
        """How far a lane of this rank is."""
        last = trace.last_calls().get(lane)
        if last is None:
            return "has entered no collective yet"
        state = "is still in" if last.under_way else "has left"
        return f"{state} collective {last.number}{self._of_ranks(last)}, {last.name}"

    def _of_ranks(self, call: trace.Call) -> str:
        """Which ranks a collective is of; empty for all."""
        members = self.grid.members.get(call.comm, [])
        if len(members) in (0, self.grid.size):
            return ""
        more = len(members) - MOST_NAMED
        said = ", ".join(map(str, members[:MOST_NAMED]))
        return f" of ranks {said}" + (f" and {more} more" if more > 0 else "")

    def _send(self, message: object, to: int, tag: int) -> None:
        """Send without waiting: a stopped rank never receives. What is sent stays until then."""
        self._sent = [each for each in self._sent if not each[0].Test()]
        text = encode(message)
        self._sent.append((self.grid.watch.Isend(text, to, tag), text))

    def _receive(self, found: MPI.Status) -> Any:
        """The message that a probe has found."""
        text = np.empty(found.Get_count(MPI.BYTE), np.uint8)
        self.grid.watch.Recv(text, found.source, found.tag)
        return decode(text)

    def _ask(self, call: trace.Call, members: list[int]) -> dict[int, _HowFar]:
        """How far every rank of the call's communicator is that answers in time."""
        comm, status = self.grid.watch, MPI.Status()
        answers = {comm.rank: _HowFar(call.number, "")}
        question = time.monotonic()
        for rank in members:
            if rank != comm.rank:
                self._send([call.comm, call.lane, question], rank, ASK)
        end = question + self.answer_s + 2 * self.poll_s
        while len(answers) < len(members) and time.monotonic() < end and not self._stop.is_set():
            self._answer()
            while comm.Iprobe(MPI.ANY_SOURCE, ANSWER, status):
                to, *far = self._receive(status)
                if to == question:
                    answers[status.source] = _HowFar(*far)
            time.sleep(0.02)
        return answers

    def _accuse(self, call: trace.Call) -> None:
        """Name the missing ranks and end the job, unless the call ended or a lower rank will."""
        members = self.grid.members.get(call.comm, []) if self.grid.thread_multiple else []
        answers = self._ask(call, members)
        if trace.last_calls_on()[call.comm] != call or self._stop.is_set():
            return
        waiting = [rank for rank, far in answers.items() if far.number == call.number]
        self._patience += 1
        if waiting and min(waiting) < self.grid.rank and self._patience <= 3:
            return
        late = [rank for rank in members if _said(call, answers.get(rank))]
        if self.drops and self._end_ranks(late, answers):
            return
        _end_job(self.grid.watch, self._report(call, members, answers), 1)

    def _end_ranks(self, late: list[int], answers: dict[int, _HowFar]) -> bool:
        """Let each be killed by a rank of its host that answers; whether all could be."""
        killers: dict[int, int] = {}
        for rank in late:
            host, pid = self.processes[rank]
            there = [r for r in answers if self.processes[r][0] == host and r not in late]
            if not there:
                return False
            killers[pid] = there[0]
        for pid, killer in killers.items():
            if killer == self.grid.rank:
                _kill(pid)
            else:
                self._send(pid, killer, END)
        return bool(killers)

    def _report(self, call: trace.Call, members: list[int], answers: dict[int, _HowFar]) -> str:
        waited = time.monotonic() - call.entered_s
        lines = [
            f"batchgnn: rank {self.grid.rank} has waited {waited:.0f} s in collective "
            f"{call.number}{self._of_ranks(call)} of its {call.lane} thread: "
            f"{call.name} {call.mark}".rstrip()
        ]
        lines += [
            f"  rank {rank} ({self.places[rank]}) {said}"
            for rank in members
            if (said := _said(call, answers.get(rank)))
        ]
        if not members:
            why = "the group is unknown" if self.grid.thread_multiple else "MPI is not thread-safe"
            lines.append(f"  which ranks are missing is unknown: {why}")
        elif len(lines) == 1:
            lines.append("  all its ranks have entered it: the network, or a message, is lost")
        lines.append(
            "All ranks are ended. Go on with --resume; wait longer with --collective-timeout."
        )
        return "\n".join(lines) + "\n"


def _kill(pid: int) -> None:
    """End a process of this machine that does not come."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _said(call: trace.Call, far: _HowFar | None) -> str:
    """What is wrong with a rank of the call's communicator; empty if it has arrived."""
    if far is None:
        return "does not answer: it is stopped, or its machine or network is gone"
    return f"has not arrived; it {far.where}" if far.number < call.number else ""
