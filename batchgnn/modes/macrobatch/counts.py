"""Input rows that minibatches needed, over all ranks: of an epoch, and of a run."""

from collections.abc import Sequence

import numpy as np

from batchgnn.comm.exchange import allreduce_sum
from batchgnn.comm.grid import Comm
from batchgnn.sampling.inputs import InputRows


class InputCounts:
    """Counts of this rank, summed over the ranks once an epoch.

    All but the first are of distinct rows in a macrobatch: remote rows are those that are not here,
    cached ones were copied before training. Drawn edges that were left out are counted too.
    """

    def __init__(self, world: Comm, *, with_cache: bool, with_left_out: bool):
        self.world, self.with_cache, self.with_left_out = world, with_cache, with_left_out
        self.far_rows = np.zeros(2)
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Count anew."""
        self.num_inputs = self.num_distinct = self.num_remote = self.num_cached = 0
        self.num_left_out = 0

    def add(self, inputs: Sequence[InputRows], num_left_out: int) -> None:
        """A macrobatch was planned: the rows that travel together, and edges that were left out."""
        self.num_left_out += num_left_out
        for each in inputs:
            self.num_inputs += sum(map(len, each.rows))
            self.num_distinct += each.num_distinct
            self.num_remote += each.num_remote
            self.num_cached += each.num_cached

    def of_epoch(self) -> dict[str, float]:
        """Of all ranks; collective."""
        mine = [self.num_inputs, self.num_distinct, self.num_left_out]
        total = np.array([*mine, self.num_remote, self.num_cached], np.float64)
        allreduce_sum(self.world, total, "epoch sums")
        rows, distinct, left_out, *far = total
        self.far_rows += far
        counts: dict[str, float] = {
            "input_rows": int(rows),
            "distinct_input_rows": int(distinct),
            "deduplication": round(distinct / max(rows, 1), 4),
            "remote_input_rows": int(far[0]),
        }
        if self.with_left_out:
            counts["excluded_edges"] = int(left_out)
        return counts | _hits(*far) if self.with_cache else counts

    def totals(self) -> dict[str, float]:
        """Hits of the feature cache over all epochs so far."""
        return _hits(*self.far_rows) if self.with_cache else {}


def _hits(remote: float, cached: float) -> dict[str, float]:
    """How many of the remote input rows that were needed lay in the feature cache."""
    rate = round(cached / max(remote, 1), 4)
    return {"feature_cache_hits": int(cached), "feature_cache_hit_rate": rate}
