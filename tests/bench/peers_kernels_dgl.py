"""Times DGL's and GraphBolt's kernels for peers_kernels.py, a line of input each."""

import json
import sys
import time
from functools import cache
from pathlib import Path

import dgl
import dgl.graphbolt as gb
import numpy as np
import torch
from peers_worker import Task, say

MINIBATCHES = 8


class Kernels:
    """The graph, and one method a kernel; each returns (seconds, work)."""

    def __init__(self, task: Task):
        self.task = task
        torch.set_num_threads(task.threads)
        self.graph = {p.stem: torch.from_numpy(np.load(p)) for p in Path(task.graph).glob("*.npy")}
        csc = self.graph["indptr"], self.graph["indices"].long(), torch.empty(0, dtype=torch.int64)
        self.g = dgl.graph(("csc", csc), num_nodes=len(self.graph["label"])).formats("csc")
        self.bolt = gb.fused_csc_sampling_graph(self.graph["indptr"], self.graph["indices"].long())

    @cache  # noqa: B019
    def rows(self, width: int) -> torch.Tensor:
        """A matrix with a row for each vertex."""
        return torch.rand(self.g.num_nodes(), width)

    @cache  # noqa: B019
    def small_ids(self):
        """The graph with int32 ids, with which the product is fastest."""
        csc = self.graph["indptr"].int(), self.graph["indices"], torch.empty(0, dtype=torch.int32)
        return dgl.graph(("csc", csc), num_nodes=self.g.num_nodes(), idtype=torch.int32)

    def spmm(self, width: int):
        """Sum over in-neighbours; work in bytes of gathered rows."""
        g, x = self.small_ids(), self.rows(width)
        begin = time.perf_counter()
        with torch.no_grad():
            dgl.ops.copy_u_sum(g, x)
        return time.perf_counter() - begin, g.num_edges() * width * 4

    def sample(self, fanouts: list[int]):
        """Sampling and to_block of some minibatches; work in edges."""
        sampler = dgl.dataloading.NeighborSampler(fanouts[::-1])
        seconds = edges = 0
        for seeds in self._seeds():
            begin = time.perf_counter()
            _, _, blocks = sampler.sample_blocks(self.g, seeds)
            seconds += time.perf_counter() - begin
            edges += sum(block.num_edges() for block in blocks)
        return seconds, edges

    def graphbolt(self, fanouts: list[int]):
        """The same by GraphBolt's own operations, without its data pipes."""
        seconds = edges = 0
        for ids in self._seeds():
            frontier = ids
            for fanout in fanouts:
                begin = time.perf_counter()
                drawn = self.bolt.sample_neighbors(frontier, torch.LongTensor([fanout])).sampled_csc
                frontier, _ = gb.unique_and_compact_csc_formats(drawn, frontier)
                seconds += time.perf_counter() - begin
                edges += len(drawn.indices)
        return seconds, edges

    def _seeds(self):
        train = self.graph["train"]
        order = train[torch.randperm(len(train))[: MINIBATCHES * self.task.batch]]
        return order.split(self.task.batch)


if __name__ == "__main__":
    kernels = Kernels(Task.from_arguments())
    for line in sys.stdin:
        name, argument = json.loads(line)
        seconds, work = getattr(kernels, name)(argument)
        say(seconds=seconds, work=work)
