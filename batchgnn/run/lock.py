"""One run folder, one job: lock.json says who trains, and nobody else begins while that lives.

The file is made by a hard link, which one of several starters can do, on NFS and Lustre too; nobody
needs flock. The holder touches it every few seconds. A starter on the same machine looks for the
holder's process; any other looks whether the file is touched: what a killed job left is taken over.
"""

import contextlib
import errno
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from batchgnn.base.errors import StoreError
from batchgnn.base.parse import parse_json
from batchgnn.run.run_state import LOCK, slurm_number

BEAT_S = 2.0
WATCHED_S = 5 * BEAT_S
"How long a lock of another machine is watched before it counts as left behind."

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
BOOT_ID, PROCESSES = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


class RunLock:
    """The lock of a run folder; nobody's until `take`, given back at the end of the block."""

    def __init__(self, run: Path):
        self.run, self.path = run, run / LOCK
        self.mine: dict[str, Any] | None = None
        self._made_folder = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lock", daemon=True)

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back; a folder that was made for nothing goes with it."""
        if self.mine is None:
            return
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            if self._read() == self.mine:
                self.path.unlink()
            if self._made_folder:
                self.run.rmdir()  # fails where a run was begun

    def take(self, *, made_folder: bool = False) -> None:
        """Make the lock; raises StoreError where another job trains there.

        made_folder: for this run, so that an empty one is removed at the end
        """
        me = {**holder_here(), "started": round(time.time(), 3), "token": uuid.uuid4().hex}
        self._made_folder = made_folder
        with self._beside(me) as beside:
            while not (self._linked(beside, me) or self._taken_over(beside)):
                pass
        self.mine = me
        self._thread.start()

    def require(self) -> None:
        """Raise StoreError where the lock went to another job, as while this one was suspended."""
        if self.mine is not None and (now := self._read()) != self.mine:
            who = f"taken over by {said(now)}" if now else "taken away"
            raise StoreError(
                f"{self.run} was {who}: this job ends, for two that train one run spoil it."
            )

    def _taken_over(self, beside: Path) -> bool:
        """Whether a lock that was left behind is ours now; raises StoreError if its holder lives.

        Who makes the claim is the only one to replace a lock, so two cannot take over the same.
        """
        holder = self._read()
        if holder is None:
            return False  # given back just now
        if self._lives(holder):
            raise StoreError(
                f"{self.run} is being trained by {said(self._read() or holder)}. Wait for its end, "
                f"or end it with: batchgnn cancel {self.run}"
            )
        claim = self.path.with_name(f".{LOCK}.claim.part")
        try:
            claim.open("x").close()
        except FileExistsError:
            _wait_for_end_of(claim)
            return False
        try:
            is_same = self._read() == holder
            if is_same:
                beside.rename(self.path)
            return is_same
        finally:
            claim.unlink(missing_ok=True)

    def _lives(self, holder: dict[str, Any]) -> bool:
        """Whether the holder is there: by its process, or by what it does to the file."""
        here = holder_here()
        is_here = here["machine"] and holder.get("machine") == here["machine"]
        if is_here and (runs := runs_here(holder)) is not None:
            return runs
        before, end = self._touched(), time.monotonic() + WATCHED_S
        while time.monotonic() < end:
            time.sleep(BEAT_S / 4)
            if (now := self._touched()) != before:
                return now is not None
        return False

    def _touched(self) -> int | None:
        """When, by the file server's clock; opened, for NFS asks the server then."""
        try:
            with self.path.open() as file:
                return os.fstat(file.fileno()).st_mtime_ns
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def _beside(self, me: dict[str, Any]) -> Iterator[Path]:
        beside = self.path.with_name(f".{LOCK}.{uuid.uuid4().hex}.part")
        try:
            beside.write_text(json.dumps(me) + "\n")
            yield beside
        finally:
            beside.unlink(missing_ok=True)

    def _linked(self, beside: Path, me: dict[str, Any]) -> bool:
        """Whether the lock is ours now."""
        try:
            os.link(beside, self.path)
        except FileExistsError:
            return self._read() == me  # NFS may have done it and lost the answer
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            with contextlib.suppress(FileExistsError), self.path.open("x") as file:
                file.write(beside.read_text())
                return True
            return False
        return True

    def _read(self) -> dict[str, Any] | None:
        """What the lock says; None where there is none."""
        return json_of(self.path)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S):
            with contextlib.suppress(OSError):
                if self._read() == self.mine:
                    os.utime(self.path)


def _wait_for_end_of(claim: Path) -> None:
    """Another takes the lock over, which is quick; the claim of one that was killed is removed.

    Only the one that was there all the time: another waiter may have removed it, and made its own.
    """
    first, end = _file_of(claim), time.monotonic() + WATCHED_S
    while first is not None and _file_of(claim) == first:
        if time.monotonic() > end:
            claim.unlink(missing_ok=True)
        time.sleep(0.01)


def _file_of(path: Path) -> tuple[int, int] | None:
    """Which file has this name now."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def holder_here() -> dict[str, Any]:
    """This process, so that others find it."""
    me = psutil.Process()
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": me.pid,
        "pid_started": me.create_time(),
        "slurm_job": slurm_number(),
    }


def _machine() -> str:
    """The boot of this kernel, and whose process ids these are: a container has its own."""
    try:
        return f"{BOOT_ID.read_text().strip()} {os.readlink(PROCESSES)}"
    except OSError:
        return ""


def runs_here(holder: dict[str, Any]) -> bool | None:
    """Whether the process of a lock runs on this machine.

    None where one with its id began at another time: it is another, or the clock was set.
    """
    try:
        process = psutil.Process(holder["pid"])
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(process.create_time() - holder["pid_started"]) < 1 or None
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False


def said(holder: dict[str, Any]) -> str:
    """Who holds a lock, in words."""
    job = f", Slurm job {holder['slurm_job']}" if holder.get("slurm_job") else ""
    who = f"process {holder.get('pid', '?')} on host {holder.get('host', '?')}{job}"
    started = holder.get("started")
    if not isinstance(started, int | float):
        return who
    return f"{who}, since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(started))}"


def json_of(path: Path) -> dict[str, Any] | None:
    """The lock's values; None without the file, empty where nobody can read what is in it."""
    try:
        found = parse_json(path.read_text())
    except FileNotFoundError:
        return {} if path.is_symlink() else None  # a link to nothing
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
