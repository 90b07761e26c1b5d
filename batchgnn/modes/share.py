"""One rank's share of a job, below the modes: what a mode is made from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from batchgnn.comm.grid import Grid
from batchgnn.modes.extent import Extent
from batchgnn.nn.linear import dense
from batchgnn.nn.model import Model
from batchgnn.nn.optim import Optimizer, make_optimizer
from batchgnn.nn.options import Convolutions
from batchgnn.nn.row_table import RowTable
from batchgnn.sampling.node_rows import NodeRows
from batchgnn.settings.general import Optimiser, Training
from batchgnn.settings.settings import Settings
from batchgnn.store.mode_state import ModeState
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.seeds import SPLITS
from batchgnn.store.shard_store import Manifest
from batchgnn.tasks.score import Score
from batchgnn.tasks.task import Inference, Task


@dataclass
class Share:
    """What one rank has of a job.

    table      trained input rows of own vertices, where they are not features
    node_rows  input rows that it shares with the ranks of its node, where the mode does so
    why_mode   why the mode was taken, if it was asked to be chosen
    """

    grid: Grid
    manifest: Manifest
    own: OwnShards
    settings: Settings
    model: Model
    task: Task
    threads: int
    table: RowTable | None = None
    node_rows: NodeRows | None = None
    why_mode: str = ""

    @property
    def is_first(self) -> bool:
        """Whether this rank prints and writes files."""
        return self.grid.rank == 0

    @property
    def seed(self) -> int:
        """Of every random draw."""
        return self.settings[Training].seed

    @property
    def split_index(self) -> int:
        """Which official split is trained on."""
        return self.settings[Training].split_index

    def input_rows(self) -> np.ndarray:
        """(num_own, D), what the first layer reads of own vertices; trained rows as they lie."""
        if self.table is not None:
            return self.table.rows
        rows = dense(self.own.features.at(np.arange(self.own.num_own)))
        return rows.astype(self.model.parameters.buffer.dtype, copy=False)

    def rows_of(self, *splits: str) -> dict[str, np.ndarray]:
        """bool (num_own,) by name of a split: "train", "val", "test" of the chosen official one."""
        column = self.own.split[:, self.split_index]
        return {name: column == SPLITS[name] for name in splits}

    def make_optimizer(self, frozen: Sequence[str] = ()) -> Optimizer:
        """The optimiser of the settings, for the model's parameters.

        frozen: names of parameters whose gradient is 0: they do not decay either
        """
        options, convs = self.settings[Optimiser], self.settings.get(Convolutions)
        decay = None if convs is None else convs.conv_weight_decay
        decays = [(name, 0.0) for name in frozen]
        if decay is not None:
            decays.append(("convs.", decay))
        return make_optimizer(
            options.optimizer,
            self.model.parameters,
            lr=options.lr,
            weight_decay=options.weight_decay,
            decays=decays,
        )

    def evaluate(self, inference: Inference, *splits: str) -> dict[str, list[Score]]:
        """The task's scores of exact predictions, by split; collective."""
        return self.task.scores(self.grid.world, self.own, inference, self.rows_of(*splits))

    def extent(self) -> Extent:
        """How much it is, for memory plans."""
        own, grid = self.own, self.grid
        return Extent(
            path=own.path,
            manifest=own.manifest,
            settings=self.settings,
            model=self.model,
            shards=own.shards,
            num_own=own.num_own,
            num_edges=int(own.degree_in.sum()),
            rank=grid.rank,
            num_ranks=grid.size,
            ranks_per_node=grid.node_size,
            threads=self.threads,
            feature_dtype=own.feature_dtype,
            copied_feature_bytes=own.copied_feature_bytes,
            num_lost=len(grid.lost),
        )


def optimizer_state(optimizer: Optimizer) -> ModeState:
    """What a checkpoint keeps of an optimiser that moves the same on every rank."""
    return ModeState(
        replicated=dict(optimizer.arrays), scalars={"optimizer_steps": optimizer.steps}
    )


def load_optimizer(optimizer: Optimizer, state: ModeState) -> None:
    """Go on from what `optimizer_state` gave."""
    for name, array in optimizer.arrays.items():
        array[:] = state.replicated[name]
    optimizer.steps = int(state.scalars["optimizer_steps"])
