"""What every system of the comparison with peers shares: the settings and the dialogue.

A worker gets its task as one JSON argument, loads, writes `{"ready": ...}`, and then trains as many
steps as each line of its input says, answering each with one line of JSON. In between it sleeps, so
that workers of several systems can take turns. No import of BatchGNN, torch or MPI: both
environments read this file.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Self

SETTINGS = {
    "A": {"hidden": 256, "fanouts": [15, 10, 5]},
    "B": {"hidden": 256, "fanouts": [5, 10, 15]},
    "C": {"hidden": 64, "fanouts": [15, 10, 5]},
}
"Fanouts from the seeds outward."

LINK_SETTINGS = {"links": {"hidden": 128, "fanouts": [15, 10], "links": True}}
"The same where seeds are edges: each beside one other target, and no message in its own step."

WHOLE = {
    "gcn-2x64": {"model": "gcn", "layers": 2, "hidden": 64},
    "gcn-2x256": {"model": "gcn", "layers": 2, "hidden": 256},
    "sage-8x64": {"model": "sage", "layers": 8, "hidden": 64},
}
"Models of the whole-graph comparison."


@dataclass(frozen=True, kw_only=True)
class AnyTask:
    """What a worker trains. `graph`: a folder of peers_graph.py; `shards`: a shard store."""

    graph: str
    shards: str
    hidden: int
    threads: int
    learning_rate: float = 0.003
    options: dict | None = None

    @classmethod
    def from_arguments(cls) -> Self:
        """The task in the last argument."""
        return cls(**json.loads(sys.argv[-1]))

    def to_argument(self) -> str:
        """The task as an argument."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, kw_only=True)
class Task(AnyTask):
    """Training on sampled minibatches of vertices, or of edges, whose rows are `hidden` wide."""

    fanouts: list[int]
    batch: int
    num_workers: int = 0
    links: bool = False


@dataclass(frozen=True, kw_only=True)
class WholeTask(AnyTask):
    """Training on the whole graph."""

    model: str
    layers: int

    def widths(self, num_features: int, num_classes: int) -> list[int]:
        """Of the rows between the layers."""
        return [num_features, *[self.hidden] * (self.layers - 1), num_classes]


@dataclass(frozen=True, kw_only=True)
class TemporalTask(AnyTask):
    """Training on a stream of events; hidden: of states, times and rows."""

    batch: int
    recent: int = 10


class Tally:
    """Seconds by phase and sums of sizes over the steps of one answer."""

    def __init__(self):
        self.phases: dict[str, float] = {}
        self.sums: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the seconds of the block to the phase."""
        begin = time.perf_counter()
        yield
        self.phases[name] = self.phases.get(name, 0.0) + time.perf_counter() - begin

    def add(self, **amounts: float) -> None:
        """Add to the sums, whose means over the steps are in the answer."""
        for name, amount in amounts.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(amount)


def say(**words) -> None:
    """One line of JSON to the driver."""
    print(json.dumps(words), flush=True)


def peak_rss_bytes() -> int:
    """Largest resident memory of this process so far."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def answer(tally: Tally, seconds: float, steps: int) -> dict:
    """What a worker says of `steps` steps that took `seconds` together."""
    mean = {name: amount / steps for name, amount in tally.sums.items()}
    phases = {name: amount / steps for name, amount in tally.phases.items()}
    return {"seconds": seconds / steps, "phases": phases, **mean}


def serve(train: Callable[[int, Tally], None]) -> None:
    """Train as many steps as each line of the input says; ends at 0, or with the input."""
    say(ready=True, peak_rss_bytes=peak_rss_bytes())
    while steps := int(sys.stdin.readline() or 0):
        tally, begin = Tally(), time.perf_counter()
        train(steps, tally)
        said = answer(tally, time.perf_counter() - begin, steps)
        say(**said, peak_rss_bytes=peak_rss_bytes())
