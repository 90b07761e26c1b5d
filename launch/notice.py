"""What mpirun says when a job ends badly: read, so that one clear sentence can say it instead."""

import re
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from batchgnn.base.environment import HOSTS
from batchgnn.base.parse import parse_json

RULE = re.compile(r"^[-=]{60,}\s*$")
LONGEST, MOST_NAMED = 20, 8
NOISE = (
    "MPI_ABORT was invoked",
    "has exited due to process",
    "non-zero status",
    "non-zero exit code",
    "exited on signal",
    "peer process has unexpectedly disconnected",
    "BAD TERMINATION OF ONE OF YOUR",
)
BELOW = (
    "YOUR APPLICATION TERMINATED WITH THE EXIT STRING",
    "This typically refers to a problem with your application",
    "Please see the FAQ page for debugging suggestions",
)
OFTEN = {
    signal.SIGKILL: "the kernel, out of memory",
    signal.SIGBUS: "a shard that can no longer be read, or a full /dev/shm",
}
COMPLAINT = "NBC_Progress: an error "
KILLED = (
    re.compile(
        r"process rank (?P<rank>\d+) with PID \d+ on node (?P<host>\S+) "
        r"exited on signal (?P<signal>\d+)"
    ),
    re.compile(r"APPLICATION TERMINATED WITH THE EXIT STRING: .*?\(signal (?P<signal>\d+)\)"),
)
ABORTED = re.compile(r"Abort\(\d+\) on node .*application called MPI_Abort\(comm=\w+, (\d+)\)")
CRASHED = re.compile(r"^\[(?P<host>[^]:]+):\d+\] Signal: .*\((?P<signal>\d+)\)")
"Said by Open MPI in the rank itself; another rank may end the job before mpirun hears of it."

GONE = re.compile(r"peer process has unexpectedly disconnected.*? Peer host: (?P<host>\S+)")
MPICH_HOST = re.compile(r"PID \d+ RUNNING AT (?P<host>\S+)")


@dataclass(frozen=True)
class Killed:
    """A rank that a signal ended, or that is gone (signal None).

    rank and host are None where mpirun does not tell.
    among: ranks of which it is one, where its host is all that is known
    """

    signal: int | None
    rank: int | None = None
    host: str | None = None
    among: tuple[int, ...] = ()

    def sentence(self) -> str:
        """What happened."""
        who = "rank " + " or ".join(map(str, self.among or [self.rank]))
        if self.rank is None and not 1 <= len(self.among) <= MOST_NAMED:
            who = "a rank"
        where = "" if self.host is None else f" on {self.host}"
        if self.signal is None:
            what = "is gone, or its host"
        else:
            number = signal.Signals(self.signal)
            often = f" (often {OFTEN[number]})" if number in OFTEN else ""
            what = f"was ended by {number.name}{often}"
        return f"batchgnn: {who}{where} {what}; all ranks have ended."


def killed_in(text: str) -> Killed | None:
    """The killed rank that mpirun's messages name, if any."""
    flat = " ".join(text.split())
    for pattern in KILLED:
        if found := pattern.search(flat):
            groups = found.groupdict()
            host = groups.get("host") or (m["host"] if (m := MPICH_HOST.search(flat)) else None)
            rank = groups.get("rank")
            return Killed(int(groups["signal"]), None if rank is None else int(rank), host)
    if found := GONE.search(flat):
        return Killed(None, host=found["host"])
    return None


def crashed_with(line: str) -> Killed | None:
    """The rank that says in this line which signal ends it, as Open MPI lets it."""
    found = CRASHED.match(line)
    return Killed(int(found["signal"]), host=found["host"]) if found else None


def with_rank(killed: Killed, folder: Path) -> Killed:
    """With the rank, or the ranks of its host, where mpirun has named the host only.

    folder: as of `environment.LAST_CALLS_VARIABLE`
    """
    if killed.rank is not None or killed.host is None:
        return killed
    here = ranks_on([killed.host], hosts_of_ranks(folder))
    return replace(killed, rank=here[0]) if len(here) == 1 else replace(killed, among=here)


def hosts_of_ranks(folder: Path) -> list[str]:
    """The host of each rank; empty where no rank of this machine has told."""
    path = folder / HOSTS
    return parse_json(path.read_text()) if path.exists() else []


def ranks_on(hosts: list[str], of_ranks: list[str]) -> tuple[int, ...]:
    """The ranks on some hosts, with or without their domains; of_ranks: the host of each rank."""
    names = {host.partition(".")[0] for host in hosts}
    return tuple(rank for rank, host in enumerate(of_ranks) if host.partition(".")[0] in names)


def last_calls(folder: Path, killed: Killed | None) -> str:
    """A sentence about the collective that a rank of this machine was last in; empty if unknown.

    The killed rank, if it was one of them, else the first.
    folder: as of `environment.LAST_CALLS_VARIABLE`
    """
    said = {int(file.name): file.read_bytes() for file in folder.glob("[0-9]*")}
    said = {rank: text for rank, text in said.items() if text.strip(b"\0 ")}
    if not said:
        return ""
    rank = killed.rank if killed is not None and killed.rank in said else min(said)
    return f" Rank {rank} was last seen {said[rank].decode(errors='replace').strip()}."


def aborted_with(line: str) -> int | None:
    """The status of MPICH's line about a rank that ended the job itself: no signal ended it.

    The ranks that mpiexec then kills are named in its box as if they had been killed first.
    """
    found = ABORTED.search(line)
    return int(found[1]) if found else None


def without_complaints(lines: Iterable[str]) -> Iterator[str]:
    """The lines without those of Open MPI about the collectives that a lost rank was in."""
    complained = False
    for line in lines:
        is_gap, complained = complained and not line.strip(), line.startswith(COMPLAINT)
        if not is_gap and not complained:
            yield line


def without_notices(lines: Iterable[str], notices: list[str]) -> Iterator[str]:
    """The lines without mpirun's ruled boxes about how a rank ended; those go to `notices`.

    A box is held back until its closing rule, or until it is longer than any of mpirun's. MPICH's
    sentences below its box go the same way.
    """
    box: list[str] = []
    for line in lines:
        if not box:
            if notices and line.startswith(BELOW):
                notices.append(line)
            elif RULE.match(line):
                box = [line]
            else:
                yield line
            continue
        box.append(line)
        if RULE.match(line) or len(box) > LONGEST:
            yield from _settled(box, notices)
            box = []
    yield from _settled(box, notices)


def _settled(box: list[str], notices: list[str]) -> list[str]:
    text = "".join(box)
    if any(noise in " ".join(text.split()) for noise in NOISE):
        notices.append(text)
        return []
    return box
