"""Colours' classes and the order of phases and threads: the same in every plot of a page."""

from collections.abc import Iterable

PHASES = (
    "wait", "sample", "locate", "fetch", "forward", "backward", "allreduce", "update", "evaluate",
    "other",
)  # fmt: skip
"Phases with a colour of their own in page.css, in the order of a step."

MOST_RUNS = 8
"Runs that a page can tell apart by colour."


def phase_class(name: str) -> str:
    """The class of a phase: its own, or one of three shared by those that are not known here."""
    if name in PHASES:
        return f"p-{name}"
    return f"p-x{sum(name.encode()) % 3}"


def phase_order(names: Iterable[str]) -> list[str]:
    """Distinct names: known ones in the order of a step, then the others."""
    distinct = list(dict.fromkeys(names))
    return sorted(distinct, key=lambda name: PHASES.index(name) if name in PHASES else -1)


def lane_order(lanes: Iterable[str]) -> list[str]:
    """Distinct threads, the main one first."""
    return sorted(set(lanes), key=lambda lane: (lane != "main", lane))


def run_class(n: int) -> str:
    """The class of the n-th run's colour."""
    return f"r{n % MOST_RUNS}"
