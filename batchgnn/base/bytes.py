"""Memory before work: what a run will hold, and a refusal before it starts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from batchgnn.base.cgroup import memory_limit
from batchgnn.base.errors import ConfigError, MemoryPlanError

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class MemoryPlan:
    """Peak bytes of one process, by what holds them."""

    parts: dict[str, int]

    @property
    def total(self) -> int:
        """Bytes of all parts together."""
        return sum(self.parts.values())

    @property
    def largest(self) -> str:
        """Name of the largest part."""
        return max(self.parts, key=self.parts.__getitem__)

    def require(self, allowed: int, advice: str, of_part: Mapping[str, str] = {}) -> None:
        """Raise MemoryPlanError, with `advice`, when the total is above `allowed` bytes.

        of_part: name of a part -> what to type to make it smaller, said first of the largest
        """
        if self.total > allowed:
            error = MemoryPlanError(
                f"this needs {format_bytes(self.total)} of memory and may use "
                f"{format_bytes(allowed)}; the largest part is {self.largest} "
                f"({format_bytes(self.parts[self.largest])}). "
                f"{of_part.get(self.largest, '')} {advice}".replace("  ", " ")
            )
            error.severity = self.total - allowed
            raise error


def format_bytes(num_bytes: float) -> str:
    """Bytes for people: `512 B`, `1.5 KiB`, `2.0 GiB`."""
    size = float(num_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def parse_bytes(text: str | int) -> int:
    """Bytes of `8G`, `512M`, `1.5GiB` or `1000`; K, M, G, T are powers of 1024.

    Raises ConfigError when the text is no size.
    """
    match = re.fullmatch(
        r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([KMGT]?)(?:i?B)?\s*", str(text), re.IGNORECASE
    )
    if not match or not float(match[1]):
        raise ConfigError(f"{text!r} is no size in bytes: write for example 512M, 8G or 1.5G")
    return int(float(match[1]) * UNITS[match[2].upper()])


@dataclass(frozen=True)
class Memory:
    """Bytes that the processes here may use together, those that are free now, and who says so."""

    total: int
    available: int
    is_limited: bool = False


def memory_here() -> Memory:
    """What the machine has, or what a container or a batch job leaves of it."""
    machine, limit = psutil.virtual_memory(), memory_limit()
    if limit is None or limit.total >= machine.total:
        return Memory(machine.total, machine.available)
    return Memory(limit.total, min(limit.available, machine.available), is_limited=True)


def allowed_bytes(memory: str | None, ranks_on_node: int) -> int:
    """What a rank may use: as set, else its share of the memory that is free on the node.

    A container's limit, or that of a batch job, is shared by its ranks as the machine's memory is.
    """
    if memory is not None:
        return parse_bytes(memory)
    return memory_here().available // ranks_on_node
