"""Checkpoints, written and read by all ranks of a job together; the files are `store`'s."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from batchgnn.base.errors import BatchGNNError
from batchgnn.comm.failure import fail_together
from batchgnn.comm.grid import Grid
from batchgnn.comm.values import values_of_all
from batchgnn.store.checkpoint import (
    INDEX,
    Index,
    begin_checkpoint,
    discard,
    finish_checkpoint,
    newest_checkpoint,
    part_path,
    read_index,
    refuse_other_shards,
)
from batchgnn.store.mode_state import ModeState, StateFile, read_state, write_state
from batchgnn.watch import trace

WRITING = "writing a checkpoint"


class Checkpoints:
    """The checkpoints of a run, of which the newest `keep` stay.

    A rank that has nothing of its own to write touches no file; to read, all ranks need the folder.
    """

    def __init__(self, grid: Grid, path: Path, keep: int):
        """path: the folder that holds them, made when the first is written."""
        self.grid, self.path, self.keep = grid, Path(path), keep

    def write(
        self, fingerprint: str, progress: dict[str, Any], state: ModeState, own_ids: np.ndarray
    ) -> None:
        """Write a checkpoint. Collective; one rank's failure is raised on all and leaves no file.

        fingerprint  of the shard store
        progress     what JSON can write, epoch and step among it; the first rank's counts
        state        of this rank; its `replicated` and `scalars` count on the first rank, its
                     `by_trainer` on the lowest rank of the trainer
        own_ids      int (num_own,): global ids of the rows of `by_vertex`, each of one rank only
        """
        part = part_path(self.path, progress["epoch"], progress["step"])
        with fail_together(self.grid.world, WRITING):
            if self.grid.rank == 0:
                begin_checkpoint(part)
        try:
            files = self._write_files(part, state, own_ids)
            with fail_together(self.grid.world, WRITING):
                if self.grid.rank == 0:
                    index = Index(fingerprint, progress, state.scalars, files)
                    finish_checkpoint(part, index, self.keep)
        except BatchGNNError:
            if self.grid.rank == 0:
                discard(part)
            raise

    def latest(self) -> Path:
        """The newest checkpoint; raises StoreError when there is none. Sends no message."""
        return newest_checkpoint(self.path)

    def read(
        self, fingerprint: str, own_ids: np.ndarray, trainer: int = 0
    ) -> tuple[dict[str, Any], ModeState]:
        """Progress, and the state of this rank, from the newest checkpoint. Collective.

        own_ids  int (num_own,): global ids of the vertices that this rank owns now
        trainer  the number of this rank's trainer; nobody's had it: `by_trainer` is empty

        Raises StoreError when there is none, it is damaged, or of shards of another fingerprint.
        """
        path, index = self._newest(fingerprint)
        with fail_together(self.grid.world, f"reading {path}"):
            state = read_state(path, index.files, own_ids, trainer)
        state.scalars = index.scalars
        return index.progress, state

    def _newest(self, fingerprint: str) -> tuple[Path, Index]:
        """The first rank looks and tells the others: one answer, however slow a shared disk is."""
        found = None
        with fail_together(self.grid.world, f"resuming from {self.path}"):
            if self.grid.rank == 0:
                path = self.latest()
                index = read_index(path)
                refuse_other_shards(path, index.fingerprint, fingerprint)
                found = [path.name, index.to_json()]
        name, written = self._told(found)[0]
        return self.path / name, Index.from_json(written, self.path / name / INDEX)

    def _write_files(self, part: Path, state: ModeState, own_ids: np.ndarray) -> list[StateFile]:
        """The files of all ranks."""
        rank = self.grid.rank
        speaks = self._told(state.trainer).index(state.trainer) == rank
        mine: list[StateFile] = []
        with fail_together(self.grid.world, WRITING):
            mine = write_state(part, state, own_ids, rank, speaks_for_trainer=speaks)
        said = self._told([asdict(file) for file in mine])
        return [StateFile(**file) for files in said for file in files]

    def _told(self, value: Any) -> list[Any]:
        """The value of every rank."""
        with trace.collective("agreement", self.grid.world.name, detail="checkpoint"):
            return values_of_all(self.grid.world, value)
