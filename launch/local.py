"""A job under mpirun: started, signalled, waited for, and ended with all its processes."""

import contextlib
import ctypes
import io
import math
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
    BAR_VARIABLE,
    HOSTS,
    LAST_CALLS_VARIABLE,
    RANK_VARIABLES,
    RESUME_VARIABLE,
    SEGMENTS,
    command_to_resume,
    word_of_success,
)
from batchgnn.base.leftovers import LAUNCH_PREFIX, remove_folder_of_mpirun, remove_segments
from batchgnn.base.progress import on_terminal
from batchgnn.launch.mpirun import (
    MARK,
    THREAD_VARIABLES,
    Flavour,
    Mpirun,
    Placement,
    drops_lost_ranks,
    job_environment,
    mpirun_argv,
)
from batchgnn.launch.notice import (
    Killed,
    aborted_with,
    crashed_with,
    hosts_of_ranks,
    killed_in,
    last_calls,
    with_rank,
    without_complaints,
    without_notices,
)
from batchgnn.launch.screen import Screen
from batchgnn.watch.interrupt import SAME_S, early

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
GRACE_S = {signal.SIGINT: math.inf, signal.SIGTERM: 60.0}
"How long a job may take to save and end after a signal, before all of it is killed."

AT_ONCE_S = 2.0
"The same after a second of them, on which ranks end by themselves."

LOST = (
    "batchgnn: mpirun has ended, but the first rank never said that it was done: a host is "
    "gone, or mpirun's daemon on it."
)
LOOK_S, GONE_S = 2.0, 10.0
LOADING_S = 120.0
"How long ranks may load; they note signals then, which mpirun would not pass on before."

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
        added[RESUME_VARIABLE] = command_to_resume()
        self._screen, draws = Screen(self.name), on_terminal()
        added[BAR_VARIABLE] = "1" if draws else ""
        passed = (*THREAD_VARIABLES, MARK, BAR_VARIABLE)
        is_read = mpirun.flavour is Flavour.MPICH or (draws and sys.stdout.isatty())
        self.process = subprocess.Popen(
            mpirun_argv(
                mpirun,
                placement,
                command,
                hosts=hosts,
                passed=passed,
                survives=drops_lost_ranks(command),
            ),
            env=dict(os.environ) | added,
            stdout=subprocess.PIPE if is_read else None,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
        self._notices: list[str] = []
        self._told = False
        self._ending: signal.Signals | None = None
        self._ending_s, self._deadline_s = 0.0, math.inf
        self._aborted: int | None = None
        self._crashed: Killed | None = None
        self._look_s = self._rank_seen_s = 0.0
        self._begin_s, self._held = time.monotonic(), False
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
        self._screen.close()
        for told in self._last_calls.glob(f"{SEGMENTS}*"):
            remove_segments(map(Path, told.read_text().splitlines()))
        remove_folder_of_mpirun(self.process.pid)
        shutil.rmtree(self._last_calls, ignore_errors=True)

    def send(self, number: int) -> None:
        """Forward a signal; mpirun hands it to the ranks.

        On SIGINT and SIGTERM Open MPI's kills them a second later, before they have saved anything:
        it gets SIGUSR2, by which they save and end, and which it only hands on. MPICH's hands
        SIGTERM on.
        """
        self._told = True
        if number == signal.SIGUSR1 and not self._listens():
            self._held = True
            return
        passed = number
        if number in GRACE_S:
            self._note_ending(signal.Signals(number))
            passed = signal.SIGTERM if self.flavour is Flavour.MPICH else signal.SIGUSR2
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(passed)

    def _note_ending(self, number: signal.Signals) -> None:
        """The job was told to end; of the second time it has little time left."""
        now = time.monotonic()
        if self._ending is None:
            self._ending, self._ending_s = number, now
            self._deadline_s = now + GRACE_S[number]
        elif now - self._ending_s > SAME_S:
            self._deadline_s = min(self._deadline_s, now + AT_ONCE_S)

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
                if self._held and self._listens():
                    self._held = False
                    self.send(signal.SIGUSR1)
                if timeout_s is not None and now - begin > timeout_s:
                    raise
                if now > self._deadline_s or self._waits_for_nobody(now):
                    self.end()
        self.end()
        for pump in self._pumps:
            pump.join(5)
        self._screen.close()
        return self._ended(128 - status if status < 0 else status)

    def _ended(self, status: int) -> Ended:
        """How the job ended, whose mpirun ended with `status`."""
        killed = killed_in("".join(self._notices))
        if self._crashed is not None and (killed is None or killed.signal is None):
            killed = self._crashed
        hosts = tuple(hosts_of_ranks(self._last_calls))
        if self._ending is not None and (killed is not None or status > 128):
            saved = killed is None and status == 128 + signal.SIGTERM
            said = None if saved else "batchgnn: interrupted: all ranks have ended."
            return Ended(128 + self._ending, said, self._told, hosts)
        if self._aborted is not None:
            return Ended(self._aborted, was_told=self._told)
        if status == 0 and self._succeeded:  # also without ranks that were lost
            return Ended(0, was_told=self._told, hosts=hosts)
        if killed is None:
            if status == 0 and self.tells_success and not self._succeeded:
                return Ended(1, LOST + last_calls(self._last_calls, None), self._told, hosts)
            return Ended(status, was_told=self._told, hosts=hosts)
        killed = with_rank(killed, self._last_calls)
        sentence = killed.sentence() + last_calls(self._last_calls, killed)
        status = status or 1 if killed.signal is None else 128 + killed.signal
        return Ended(status, sentence, self._told, hosts)

    def _listens(self) -> bool:
        """Whether ranks of batchgnn have met, so that they note a signal; or should have by now."""
        is_late = time.monotonic() - self._begin_s > LOADING_S
        return is_late or not self.tells_success or (self._last_calls / HOSTS).exists()

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
        """Pass a stream on line by line, and draw the bar that the first rank tells of."""
        with source:
            lines = (line.decode(errors="replace") for line in source)
            for text in without_notices(without_complaints(lines), self._notices):
                if word_of_success(self.name) in text:
                    self._succeeded = True
                    continue
                if (status := aborted_with(text)) is not None:
                    self._aborted = status
                    continue
                self._crashed = self._crashed or crashed_with(text)
                self._screen.show(text, to)


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
    heard = [number for number in FORWARDED if signal.getsignal(number) is not signal.SIG_IGN]
    before = {n: signal.signal(n, lambda number, _: job.send(number)) for n in heard}
    for number in early():
        job.send(number)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_with_parent() -> None:
    """In mpirun before it starts: a launcher that is killed takes mpirun and its ranks along."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
