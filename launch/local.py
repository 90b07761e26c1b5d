"""A job under mpirun: started, signalled, waited for, and ended with all its processes."""

import contextlib
import ctypes
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import psutil

from batchgnn.base.environment import (
    LAST_CALLS_VARIABLE,
    RANK_VARIABLES,
    SEGMENTS,
    word_of_success,
)
from batchgnn.base.leftovers import LAUNCH_PREFIX, remove_folder_of_mpirun, remove_segments
from batchgnn.launch.mpirun import MARK, Flavour, Mpirun, Placement, job_environment, mpirun_argv
from batchgnn.launch.notice import (
    Killed,
    aborted_with,
    crashed_with,
    hosts_of_ranks,
    killed_in,
    last_calls,
    with_rank,
    without_notices,
)

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
GRACE_S = {signal.SIGINT: 15.0, signal.SIGTERM: 60.0}
"How long a job may take to end after a signal, before all of it is killed."

LOST = (
    "batchgnn: mpirun has ended, but the first rank never said that it was done: a host is "
    "gone, or mpirun's daemon on it."
)
GO_ON = "Go on from the last checkpoint with the same command and --resume."
LOOK_S, GONE_S = 2.0, 10.0
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Ended:
    """How a job ended: mpirun's status, and what happened when a rank or a host was lost.

    was_told: whether a signal to this launcher asked for it
    hosts: of each rank, as far as one of this machine has told
    """

    status: int
    sentence: str | None = None
    was_told: bool = False
    hosts: tuple[str, ...] = ()


class RankJob:
    """One mpirun and its ranks on this machine; leaving the context ends what still runs."""

    def __init__(
        self,
        mpirun: Mpirun,
        placement: Placement,
        command: list[str],
        hosts: dict[str, int] | None = None,
        *,
        tells_success: bool = False,
    ):
        """Start `command` on every rank; the stream that carries mpirun's notices is filtered.

        hosts: ranks that each host may have; None: those that mpirun knows of
        tells_success: the command is one of batchgnn's, whose first rank says that it ended well
        """
        self.tells_success, self._succeeded = tells_success, False
        self.name, self.flavour = uuid.uuid4().hex, mpirun.flavour
        added = job_environment(mpirun, placement, os.geteuid(), self.name)
        self._last_calls = Path(tempfile.mkdtemp(prefix=f"{LAUNCH_PREFIX}{os.getpid()}-"))
        added[LAST_CALLS_VARIABLE] = str(self._last_calls)
        self.process = subprocess.Popen(
            mpirun_argv(mpirun, placement, command, hosts=hosts),
            env=dict(os.environ) | added,
            stdout=subprocess.PIPE if mpirun.flavour is Flavour.MPICH else None,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
        self._notices: list[str] = []
        self._deadline_s: float | None = None
        self._told = False
        self._aborted: int | None = None
        self._crashed: Killed | None = None
        self._look_s = self._rank_seen_s = 0.0
        streams = [(self.process.stdout, sys.stdout), (self.process.stderr, sys.stderr)]
        self._pumps = [
            threading.Thread(target=self._copy, args=pair, daemon=True)
            for pair in streams
            if pair[0]
        ]
        for pump in self._pumps:
            pump.start()

    def __enter__(self) -> "RankJob":
        return self

    def __exit__(self, *error: object) -> None:
        self.end()
        for told in self._last_calls.glob(f"{SEGMENTS}*"):
            remove_segments(map(Path, told.read_text().splitlines()))
        remove_folder_of_mpirun(self.process.pid)
        shutil.rmtree(self._last_calls, ignore_errors=True)

    def send(self, number: int) -> None:
        """Forward a signal; mpirun hands it to the ranks.

        On SIGTERM Open MPI's kills them a second later, before they have saved anything: it gets
        SIGUSR2, which means the same to them and which it only hands on. MPICH's hands SIGTERM on.
        """
        self._told = True
        if number in GRACE_S and self._deadline_s is None:
            self._deadline_s = time.monotonic() + GRACE_S[signal.Signals(number)]
        hands_on = self.flavour is Flavour.MPICH or number != signal.SIGTERM
        passed = number if hands_on else signal.SIGUSR2
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(passed)

    def wait(self, timeout_s: float | None = None) -> Ended:
        """Wait for the end; a job told to end that does not within its grace is killed.

        Raises subprocess.TimeoutExpired after `timeout_s`.
        """
        begin = time.monotonic()
        while True:
            try:
                status = self.process.wait(0.2)
                break
            except subprocess.TimeoutExpired:
                now = time.monotonic()
                if timeout_s is not None and now - begin > timeout_s:
                    raise
                if self._deadline_s is not None and now > self._deadline_s:
                    self.end()
                if self._waits_for_nobody(now):
                    self.end()
        self.end()
        for pump in self._pumps:
            pump.join(5)
        killed = killed_in("".join(self._notices))
        if self._crashed is not None and (killed is None or killed.signal is None):
            killed = self._crashed
        status = 128 - status if status < 0 else status
        hosts = tuple(hosts_of_ranks(self._last_calls))
        if self._aborted is not None:
            return Ended(self._aborted, was_told=self._told)
        if killed is None:
            if status == 0 and self.tells_success and not self._succeeded:
                return Ended(1, LOST + last_calls(self._last_calls, None), self._told, hosts)
            return Ended(status, was_told=self._told, hosts=hosts)
        sentence, killed = None, with_rank(killed, self._last_calls)
        if self._deadline_s is None:
            sentence = killed.sentence() + last_calls(self._last_calls, killed)
        status = status or 1 if killed.signal is None else 128 + killed.signal
        return Ended(status, sentence, self._told, hosts)

    def _waits_for_nobody(self, now: float) -> bool:
        """Whether the ranks here ended a while ago, and mpirun waits for a host that is gone."""
        if now < self._look_s:
            return False
        self._look_s = now + LOOK_S
        if any(self._ranks()):
            self._rank_seen_s = now
        return bool(self._rank_seen_s) and now - self._rank_seen_s > GONE_S

    def end(self) -> None:
        """Kill every process of the job on this machine, if any is left."""
        left = list(self._marked())
        if self.process.poll() is None:
            left.append(psutil.Process(self.process.pid))
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=5)

    def processes(self) -> list[psutil.Process]:
        """The ranks, mpirun and its helpers on this machine that run now."""
        return list(self._marked())

    def _ranks(self) -> Iterator[psutil.Process]:
        for process in self._marked():
            with contextlib.suppress(psutil.Error, OSError):
                if any(name in process.environ() for name in RANK_VARIABLES):
                    yield process

    def _marked(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == self.name:
                    yield process

    def _copy(self, source: io.BufferedReader, to: TextIO) -> None:
        """Pass a stream on line by line; ranks draw no bars, they are on no terminal."""
        with source:
            lines = (line.decode(errors="replace") for line in source)
            for text in without_notices(lines, self._notices):
                if word_of_success(self.name) in text:
                    self._succeeded = True
                    continue
                if (status := aborted_with(text)) is not None:
                    self._aborted = status
                    continue
                self._crashed = self._crashed or crashed_with(text)
                to.write(text)
                to.flush()


def run(
    mpirun: Mpirun,
    placement: Placement,
    command: list[str],
    hosts: dict[str, int] | None = None,
    *,
    tells_success: bool = False,
) -> Ended:
    """Run a job to its end and forward signals meanwhile; call it from the main thread."""
    with (
        RankJob(mpirun, placement, command, hosts, tells_success=tells_success) as job,
        _forwarding(job),
    ):
        return job.wait()


def own_command() -> list[str]:
    """How a rank starts this same command line."""
    if Path(sys.argv[0]).name == "batchgnn" and Path(sys.argv[0]).is_file():
        return [sys.executable, str(Path(sys.argv[0]).absolute())]
    return [sys.executable, "-m", "batchgnn"]


@contextlib.contextmanager
def _forwarding(job: RankJob) -> Iterator[None]:
    before = {n: signal.signal(n, lambda number, _: job.send(number)) for n in FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_with_parent() -> None:
    """In mpirun before it starts: a launcher that is killed takes mpirun and its ranks along."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
