"""A trainer: a group of ranks and the graph that it has alone, trained by sampled minibatches."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.comm.exchange import allreduce_sum
from batchgnn.comm.failure import fail_together
from batchgnn.comm.grid import Grid
from batchgnn.graph.ownership import Ownership
from batchgnn.modes.macrobatch.mode import MacrobatchMode
from batchgnn.modes.mode import StepResult
from batchgnn.modes.share import Share
from batchgnn.store.induced import InducedShards
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.shard_store import Manifest


class Trainer:
    """This rank's trainer: passes over the seeds of its shards, taken up where they were left.

    number  of the trainer, from 0
    at      the pass, and the step in it, that come next
    """

    def __init__(self, share: Share, width: int, *, trains: bool = True):
        """width: ranks of a trainer; trains: else these are the evaluator's ranks.

        Collective over all ranks; raises ConfigError.
        """
        self.number = share.grid.rank // width
        self.grid = share.grid if width == share.grid.size else share.grid.part(self.number)
        self.share = replace(share, grid=self.grid, own=own_of_trainer(share, self.grid, width))
        seeds = share.task.seeds(self.share.own, share.split_index).counts
        with fail_together(share.grid.world, "parting the shards among trainers"):
            if trains and not seeds.sum():
                raise ConfigError(
                    f"the shards of trainer {self.number} have nothing to train on: take fewer "
                    "--trainers, another --seed, or cut the graph into more shards."
                )
        self.engine = MacrobatchMode(self.share) if trains else None
        self.optimizer = self.engine.optimizer if self.engine else share.make_optimizer()
        self.at = 0, 0

    @property
    def is_first(self) -> bool:
        """Whether this rank speaks for the trainer."""
        return self.engine is not None and self.grid.rank == 0

    @property
    def num_edges(self) -> int:
        """Edges among the vertices that this rank has of the trainer's."""
        return int(self.share.own.degree_in.sum())

    def steps(self) -> Generator[StepResult, None, None]:
        """Train for ever, pass after pass; collective over the trainer's ranks."""
        while self.engine is not None:
            number, first_step = self.at
            with closing(self.engine.epoch(number, first_step)) as results:
                for result in results:
                    self.at = number, result.step + 1
                    yield result
            self.at = number + 1, 0


def own_of_trainer(share: Share, grid: Grid, width: int) -> OwnShards:
    """This rank's shards without the edges from other trainers' vertices."""
    own = share.own
    if grid.size == share.grid.size:
        return own
    ranks = own.ownership.rank_of_shard
    here = np.where(ranks // width == share.grid.rank // width, ranks % width, -1)
    ownership = Ownership(own.ownership.offset, here)
    found = OwnShards(InducedShards(own.whole, ownership), ownership, grid.rank)
    found.feature_dtype, found.features = own.feature_dtype, own.features
    found.features_in_memory = own.features_in_memory
    found.manifest = _with_link_seeds(found, grid)
    return found


def _with_link_seeds(own: OwnShards, grid: Grid) -> Manifest:
    """The manifest, with as many seeds as edges are left where seeds are edges; collective."""
    if own.manifest.links is None:
        return own.manifest
    counts = np.zeros((own.manifest.num_shards, 1), np.int64)
    counts[own.shards, 0] = [len(each) for each in own.link_seeds()]
    allreduce_sum(grid.world, counts, "seeds of the trainer")
    return replace(own.manifest, num_seeds=counts)
