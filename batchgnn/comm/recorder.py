"""Records the spans of one epoch on all ranks, for `timeline.json`."""

import time

from batchgnn.comm.grid import Grid
from batchgnn.comm.values import values_at_first, values_of_all
from batchgnn.watch import trace
from batchgnn.watch.timeline import RankSpans, Timeline
from batchgnn.watch.trace import Span

MOST_SPANS = 200_000
"Spans kept of all ranks together, which share them equally."

MOST_SPANS_OF_A_RANK = 50_000


class Recorder:
    """Records an epoch's spans on every rank; both methods are collective over `grid.world`."""

    def __init__(self, grid: Grid):
        self.grid, self.origin_s = grid, 0.0
        self.epoch, self.first_step = 0, 0

    def begin(self, epoch: int, first_step: int) -> None:
        """Start together. Ranks of a node share its clock; nodes agree to a message's time.

        epoch: counted from 1
        """
        self.epoch, self.first_step = epoch, first_step
        with trace.collective("timeline start", self.grid.world.name):
            self.grid.world.Barrier()
            said = values_of_all(self.grid.world, [self.grid.host, time.perf_counter()])
        self.origin_s = min(clock for host, clock in said if host == self.grid.host)
        trace.record(min(MOST_SPANS_OF_A_RANK, MOST_SPANS // self.grid.size))

    def end(self) -> Timeline | None:
        """What was recorded on all ranks, on the first; None on the others."""
        spans, num_more = trace.recorded()
        moved = [
            span._replace(begin_s=span.begin_s - self.origin_s, end_s=span.end_s - self.origin_s)
            for span in spans
        ]
        with trace.collective("timeline end", self.grid.world.name):
            said = values_at_first(self.grid.world, [self.grid.host, moved, num_more])
        if said is None:
            return None
        ranks = [RankSpans(host, [Span(*each) for each in spans], n) for host, spans, n in said]
        return Timeline(self.epoch, self.first_step, ranks)
