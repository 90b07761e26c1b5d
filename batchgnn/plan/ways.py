"""`--ways auto`: slices, slots and copies for a number of ranks (DistTGL, arXiv:2307.07649, 3.3).

As many slices as a batch that loses few updates has parts that still keep a rank busy; then as many
copies as the nodes' memories hold; slots are what ranks are left.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from batchgnn.graph.missing import largest_batch
from batchgnn.modes.open import plan_memory
from batchgnn.modes.temporal.memory import MEMORIES, copy_bytes
from batchgnn.modes.temporal.options import Timeline
from batchgnn.plan.job import Job
from batchgnn.sampling.options import Batches
from batchgnn.store.event_stream import EventStream
from batchgnn.store.seeds import SPLITS
from batchgnn.store.shard_store import ShardStore

ASSUMED = 200
"Events that keep a rank busy, where it is not measured: on a core of a Xeon (Cascade Lake)."


class Planned(NamedTuple):
    """Slices, slots, copies; events of a batch; the largest batch, and what a slice needs."""

    ways: tuple[int, int, int]
    batch_size: int
    most: int
    saturating: int

    @property
    def why(self) -> str:
        """In a sentence."""
        slices, ahead, copies = self.ways
        return (
            f"--ways {slices} {ahead} {copies}, batches of {self.batch_size:,} events: at most "
            f"{self.most:,} of them may be one batch (--lost-updates), and {self.saturating:,} "
            "keep a rank busy"
        )


def plan_ways(
    num_ranks: int, ranks_per_node: int, most: int, saturating: int, copies_per_node: int
) -> tuple[int, int, int]:
    """(slices, slots, copies), whose product is num_ranks.

    most             events of a batch
    saturating       events of a slice, at least
    copies_per_node  of all memories that a node has room for; 0: not of one, they are dealt
    """
    slices = _divisor(num_ranks, most // max(saturating, 1))
    nodes = max(num_ranks // ranks_per_node, 1)
    copies = _divisor(num_ranks // slices, nodes * copies_per_node)
    return slices, num_ranks // (slices * copies), copies


def _divisor(number: int, most: int) -> int:
    """The largest divisor that is at most `most`, and at least 1."""
    return max(d for d in range(1, number + 1) if number % d == 0 and d <= max(most, 1))


def planned(job: Job, saturating: int) -> Planned:
    """For a job with `--ways auto`; reads all events' ends."""
    most = job.settings[Batches].batch_size
    if most is None:
        most = _largest(ShardStore(job.shards), job.settings[Timeline].lost_updates)
    everyone = (job.num_ranks, 1, 1)
    per_node = min(job.ranks_per_node, job.num_ranks)
    alone = replace(job, settings=job.settings.replace(ways=everyone, batch_size=most))
    parts = plan_memory(alone.extent(0)).parts
    room = (job.allowed - sum(parts.values()) + parts[MEMORIES]) * per_node
    copies = max(room, 0) // max(copy_bytes(job.manifest, job.model), 1)
    ways = plan_ways(job.num_ranks, per_node, most, saturating, int(copies))
    return Planned(ways, max(1, min(most, ways[0] * saturating)), most, saturating)


def _largest(store: ShardStore, lost: float) -> int:
    """Events of the largest batch of training events that loses at most a share of updates."""
    stream = EventStream(store)
    count = int(np.searchsorted(stream.split, SPLITS["train"], side="right"))
    ends = stream.source[:count], stream.target[:count]
    return largest_batch(*ends, store.manifest.num_vertices, lost)
