"""What the control groups of this process let it use: containers and batch systems set them.

Version 1 has a tree for each controller, version 2 one for all; a machine may have both. A limit of
a group holds for all groups below it, so every folder from the own one up is asked. The kernel
describes the files in Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path("/")
NO_LIMIT_BYTES = 1 << 60
"Version 1 writes no limit as the largest multiple of a page below 2^63."


@dataclass(frozen=True)
class MemoryLimit:
    """Bytes that a group's processes may hold together, and those of it that are free now.

    Pages of files that can be dropped, mapped shards among them, count as free.
    """

    total: int
    available: int


def memory_limit(root: Path = ROOT) -> MemoryLimit | None:
    """The limit that leaves least, or None where there is none; root: where / is looked for."""
    found = [
        MemoryLimit(limit, max(0, limit - _held(folder, version)))
        for version, folder in _folders("memory", root)
        if (limit := _limit_bytes(folder, version)) is not None
    ]
    return min(found, key=lambda limit: limit.available, default=None)


def core_limit(root: Path = ROOT) -> float | None:
    """The cores' worth of time that this process and its group may use, or None; root as above."""
    found = (_quota(folder, version) for version, folder in _folders("cpu", root))
    return min((quota for quota in found if quota is not None), default=None)


def _limit_bytes(folder: Path, version: int) -> int | None:
    said = _number(folder / ("memory.limit_in_bytes" if version == 1 else "memory.max"))
    return None if said is None or said >= NO_LIMIT_BYTES else said


def _held(folder: Path, version: int) -> int:
    """Bytes of a group that it cannot give back."""
    used = _number(folder / ("memory.usage_in_bytes" if version == 1 else "memory.current")) or 0
    prefix, files = "total_" if version == 1 else "", 0
    for line in _text(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name in (f"{prefix}active_file", f"{prefix}inactive_file") and value.isdigit():
            files += int(value)
    return max(0, used - files)


def _quota(folder: Path, version: int) -> float | None:
    if version == 1:
        quota, period = (_number(folder / f"cpu.cfs_{what}_us") for what in ("quota", "period"))
    else:
        words = ([*_text(folder / "cpu.max").split(), "max", ""])[:2]
        quota, period = (int(word) if word.isdigit() else None for word in words)
    return quota / period if quota and period else None


def _folders(controller: str, root: Path) -> Iterator[tuple[int, Path]]:
    """(version, folder) of the own group of a controller and of those above it, as mounted here."""
    groups = dict(_groups(root))
    for line in _text(root / "proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        seen, kind = left.split(), right.split()
        if len(seen) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        name = controller if kind[0] == "cgroup" else ""
        if name not in groups or (name and name not in kind[2].split(",")):
            continue
        top = root / seen[4].lstrip("/")
        below = PurePosixPath(groups[name])
        # In a container the mount begins at its own group, which may have another name inside.
        inside = below.relative_to(seen[3]) if below.is_relative_to(seen[3]) else PurePosixPath()
        folder = top / inside
        for each in (folder, *folder.parents):
            yield 1 if name else 2, each
            if each == top:
                break


def _groups(root: Path) -> Iterator[tuple[str, str]]:
    """(controller, path of the own group): version 2 has the empty name."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = ([*line.split(":", 2), "", ""])[:3]
        for name in controllers.split(","):
            yield name, path


def _number(path: Path) -> int | None:
    """The number in a file; None where there is no file, or a word such as `max` or -1."""
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text()
    return ""
