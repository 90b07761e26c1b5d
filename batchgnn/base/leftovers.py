"""What Open MPI leaves behind in shared memory and in the temporary folder, and its removal.

A process maps the segments of its node's ranks, whose names have host, user and job. Nobody takes
them away where the process was killed, or was started without mpirun. Files that belong to a live
process are known by who maps them, folders by the number of their process.
"""

import contextlib
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

SHARED = Path("/dev/shm")
LAUNCH_PREFIX = "batchgnn-launch-"
"Folder of a launch in the temporary folder: this, the launcher's process, and a name."
YOUNG_S = 60.0
"What is younger may be of a process that has not mapped it yet."


def segments_of(process: int | str = "self") -> set[Path]:
    """Open MPI's files in shared memory that a process of this user maps."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{process}/maps").read_text(errors="replace")
        names = {line.split(maxsplit=5)[-1] for line in text.splitlines() if str(SHARED) in line}
        return {path for path in map(Path, names) if _is_segment(path)}
    return set()


def remove_segments(segments: Iterable[Path]) -> None:
    """Take files away, and the folders that processes without mpirun have for each."""
    for path in segments:
        if _is_segment(path):
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError, ValueError):
                (_alone() / str(int(path.name.split(".")[-2], 16))).rmdir()


def remove_folder_of_mpirun(process: int) -> None:
    """Take away the folder of an mpirun of this user that has ended, however that was."""
    folder = Path(tempfile.gettempdir()) / f"ompi.{process}"
    if _is_mine(folder):
        shutil.rmtree(folder, ignore_errors=True)


def sweep() -> None:
    """Take away what killed processes of this user have left on this machine."""
    old = [path for path in _listed(SHARED) if _is_segment(path) and _is_old(path)]
    lone = [path for path in _listed(_alone()) if path.name.isdigit() and _is_old(path)]
    if old or lone:
        live = {path for process in psutil.pids() for path in segments_of(process)}
        jobs = {path.name.split(".")[-2] for path in live}
        remove_segments(path for path in old if path not in live)
        for folder in lone:
            if f"{int(folder.name):x}" not in jobs:
                shutil.rmtree(folder, ignore_errors=True)
    for folder in _listed(Path(tempfile.gettempdir())):
        found = re.fullmatch(rf"(?:ompi\.|{LAUNCH_PREFIX})(\d+)(?:-.*)?", folder.name)
        if found and not psutil.pid_exists(int(found[1])) and _is_old(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _alone() -> Path:
    """Where Open MPI's processes without mpirun have their folders, named after their jobs."""
    return Path(tempfile.gettempdir()) / f"ompi.{socket.gethostname()}.{os.geteuid()}" / "jf.0"


def _is_segment(path: Path) -> bool:
    """Whether that is the name of one of this user's on this host."""
    host = re.escape(socket.gethostname().partition(".")[0])
    name = rf"(?:sm_segment|osc_sm)\.{host}(?:\.[^/]*)?\.{os.geteuid()}\.[0-9a-f]+\.\d+"
    return path.parent == SHARED and bool(re.fullmatch(name, path.name))


def _is_mine(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return path.lstat().st_uid == os.geteuid()
    return False


def _is_old(path: Path) -> bool:
    """Whether it is this user's and not young."""
    with contextlib.suppress(OSError):
        return _is_mine(path) and time.time() - path.lstat().st_mtime > YOUNG_S
    return False


def _listed(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from list(folder.iterdir())
