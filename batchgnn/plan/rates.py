"""How fast a rank is: measured once by `batchgnn plan --calibrate` and kept in a file, or assumed.

The file is `plan-HOST-P.json` in the cache folder. Rates of edges depend on the order of the
vertices, so the file has them for each graph that was measured.
"""

import dataclasses
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchgnn.base.errors import StoreError
from batchgnn.base.parse import parse_json
from batchgnn.store.format import atomic_file

FORMAT, VERSION = "batchgnn-plan-rates", 2


@dataclass(frozen=True)
class Line:
    """Seconds of an edge: `edge` to find its row, and `column` for each column of it."""

    edge: float
    column: float

    def seconds(self, num_edges: float, width: float) -> float:
        """Of a product over so many edges."""
        return num_edges * (self.edge + self.column * width)


@dataclass(frozen=True)
class Link:
    """A collective between the ranks of a group: seconds of an empty one, bytes a rank sends."""

    latency_s: float
    bytes_per_s: float

    def seconds(self, num_calls: float, num_bytes: float) -> float:
        """Of so many collectives in which a rank sends, or receives, so much together."""
        return num_calls * self.latency_s + num_bytes / self.bytes_per_s


@dataclass(frozen=True)
class EdgeRates:
    """What edges cost on one rank while all ranks work.

    spmm      one product of the edges with rows
    attend    attention, forward and backward together
    sample_s  a drawn edge, with its part of the relabelling
    """

    spmm: Line
    attend: Line
    sample_s: float


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What one rank does in a second while all ranks work.

    where       said of them: "measured on ..." or "assumed: ..."
    num_nodes   machines of the ranks
    flops       of matrix products, per second
    element_s   bias, activation and dropout of a number, forward and backward together
    copy_s      a number packed into a message or unpacked from it
    all_to_all  by ranks of the group, neighbours two at most
    overlap     share of the messages' time that passes behind a product that takes as long: 1 where
                they need no core, 0 where they take as much from it as they save
    """

    where: str
    num_nodes: int
    flops: float
    element_s: float
    copy_s: float
    edges: EdgeRates
    all_to_all: dict[int, Link]
    neighbours: Link
    overlap: float

    def link(self, num_ranks: int) -> Link:
        """The all-to-all of a group; of the nearest size that was measured."""
        nearest = min(self.all_to_all, key=lambda size: (abs(size - num_ranks), -size))
        return self.all_to_all[nearest]


ASSUMED = Rates(
    where="assumed: ranks of 8 cores, one on a node, 10 Gbit/s between nodes",
    num_nodes=2,
    flops=2e11,
    element_s=0.4e-9,
    copy_s=0.4e-9,
    edges=EdgeRates(Line(1.65e-9, 0.15e-9), Line(20e-9, 0.6e-9), 10e-9),
    all_to_all={2: Link(50e-6, 1e9)},
    neighbours=Link(50e-6, 1e9),
    overlap=1.0,
)
"""Stated where nothing was measured. An edge takes as long to read as 11 columns to multiply
(NeutronTP, Ai et al., VLDB 2025)."""


def rates_path(num_ranks: int, host: str | None = None) -> Path:
    """The file of this host, or another, and so many ranks."""
    base = os.environ.get("BATCHGNN_CACHE") or Path.home() / ".cache" / "batchgnn"
    return Path(base) / f"plan-{host or socket.gethostname()}-{num_ranks}.json"


def write_rates(path: Path, rates: Rates, graph: str, fingerprint: str) -> None:
    """Keep rates; those of edges under the graph's fingerprint, beside those of other graphs."""
    graphs: dict[str, Any] = {}
    if path.is_file():
        try:
            graphs = _read(path)["graphs"]
        except StoreError:
            graphs = {}  # damaged or of another version: it is measured anew
    graphs.pop(fingerprint, None)
    graphs[fingerprint] = {"name": graph, **dataclasses.asdict(rates.edges)}
    rest = dataclasses.asdict(dataclasses.replace(rates, edges=None))  # type: ignore[arg-type]
    del rest["edges"]
    value = {"format": FORMAT, "format_version": VERSION, **rest, "graphs": graphs}
    with atomic_file(path, overwrite=True) as beside:
        beside.write_text(json.dumps(value, indent=1) + "\n")


def read_rates(path: Path, fingerprint: str) -> Rates | None:
    """The rates kept in a file; None where there is none. Raises StoreError when it is damaged.

    Of a graph that was not measured, the edges cost what they do in the one measured last.
    """
    if not path.is_file():
        return None
    value = _read(path)
    try:
        graphs = value.pop("graphs")
        edges = graphs.get(fingerprint) or list(graphs.values())[-1]
        where = value.pop("where")
        if fingerprint not in graphs:
            where += f", edges of another graph ({edges['name']})"
        return Rates(
            where=where,
            num_nodes=value["num_nodes"],
            flops=value["flops"],
            element_s=value["element_s"],
            copy_s=value["copy_s"],
            edges=EdgeRates(Line(**edges["spmm"]), Line(**edges["attend"]), edges["sample_s"]),
            all_to_all={int(n): Link(**each) for n, each in value["all_to_all"].items()},
            neighbours=Link(**value["neighbours"]),
            overlap=value["overlap"],
        )
    except (KeyError, TypeError, IndexError) as error:
        raise _damaged(path, error) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        value = parse_json(path.read_text())
        found = value["format"], value["format_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error
    if found != (FORMAT, VERSION):
        raise _damaged(path, f"found {found[0]} {found[1]}, needed {FORMAT} {VERSION}")
    return value


def _damaged(path: Path, why: object) -> StoreError:
    return StoreError(
        f"{path} holds no rates that can be read ({why}). Delete it, and measure again: "
        "batchgnn launch -n P -- plan SHARDS --calibrate"
    )
