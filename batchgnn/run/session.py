"""What every distributed command opens first: ranks, threads, this rank's shards, and the model."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batchgnn.base.errors import StoreError
from batchgnn.base.threads import choose_threading_layer, own_cores, threads_for, use_threads
from batchgnn.comm.failure import Watchdog, abort_on_exception, fail_together
from batchgnn.comm.grid import Grid, start
from batchgnn.comm.values import values_of_all
from batchgnn.graph.assign import assign_shards
from batchgnn.graph.ownership import Ownership
from batchgnn.modes.choice import build_model
from batchgnn.modes.macrobatch.memory import allowed_bytes
from batchgnn.modes.tensor.graph import tensor_rows
from batchgnn.nn.model import Model
from batchgnn.plan.auto import choose_mode
from batchgnn.run.folder import RunFolder
from batchgnn.sampling.node_rows import NodeRows, node_rows
from batchgnn.settings.config import Metric, Settings
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.row_pieces import RowPieces
from batchgnn.store.shard_store import Manifest, ShardStore
from batchgnn.store.stage import stage


@dataclass
class Session:
    """One rank's share of a job."""

    grid: Grid
    manifest: Manifest
    own: OwnShards
    settings: Settings
    model: Model
    threads: int
    node_rows: NodeRows | None
    why_mode: str = ""
    "Why `settings.mode` was taken, if it was asked to be chosen."

    @property
    def is_first(self) -> bool:
        """Whether this rank prints and writes files."""
        return self.grid.rank == 0

    def split(self) -> np.ndarray:
        """uint8 (num_own,): 0 none, 1 train, 2 val, 3 test, of the chosen official split."""
        return self.own.split[:, self.settings.split_index]


@contextmanager
def open_session(shards: Path, settings: Settings, comm=None) -> Iterator[Session]:
    """Start MPI, set threads, map this rank's shards, build the model; collective over `comm`.

    comm: an MPI communicator, by default all ranks of the job.
    Raises a BatchGNNError on every rank when any rank cannot.
    """
    thread_safe = choose_threading_layer()
    with start(comm) as grid, abort_on_exception(grid.world):
        settings, why_mode = choose_mode(grid, shards, settings)
        with fail_together(grid.world, f"opening {shards}"):
            store, ownership, settings = _open_store(grid, shards, settings)
        with fail_together(grid.world, f"opening {shards}"):  # all copies of the node are there
            own = _own_shards(grid, store, ownership, settings)
            manifest = own.manifest
        cores = values_of_all(grid.node, own_cores())
        with fail_together(grid.world, "choosing threads"):
            threads = threads_for(settings.threads, cores[grid.node_rank], cores)
        with Watchdog(grid, settings.collective_timeout), use_threads(threads):
            model = build_model(manifest, settings)
            near = node_rows(grid, own, settings)
            if settings.overlap is None:  # where rows are read in place, nothing is waited for
                reads_all = grid.size == 1 or (near is not None and grid.node_size == grid.size)
                settings = dataclasses.replace(settings, overlap=not reads_all)
            if settings.overlap and not (thread_safe and grid.thread_multiple):
                settings = _without_overlap(settings, grid)
            yield Session(grid, manifest, own, settings, model, threads, near, why_mode)


@contextmanager
def open_run(run: Path, shards: Path | None, metric: Metric | None = None) -> Iterator[Session]:
    """The session of a finished or running run, on the shards it was trained on; collective."""
    where, settings = RunFolder(run).shards_and_settings()
    if metric is not None:
        settings = dataclasses.replace(settings, metric=metric)
    settings = dataclasses.replace(settings, overlap=False, features="mapped")
    with open_session(shards or where, settings) as session:
        yield session


def load_best(session: Session, run: Path) -> None:
    """Put the run's best parameters into the session's model; raises StoreError."""
    best = RunFolder(run).read_model(session.manifest.fingerprint)
    session.model.parameters.buffer[:] = best.arrays["parameters"]


def _open_store(grid: Grid, shards: Path, settings: Settings):
    """The store, staged where that is asked for, who owns what in it, the settings resolved."""
    store = ShardStore(shards)
    manifest = store.manifest
    settings = settings.resolved(manifest.task, manifest.feature_name)
    if settings.split_index >= manifest.num_splits:
        raise StoreError(
            f"{shards} has {manifest.num_splits} splits, --split-index {settings.split_index} asks "
            f"for one more. Take 0 to {manifest.num_splits - 1}."
        )
    pieces = None
    if settings.mode == "tensor":
        pieces, ownership = tensor_rows(store, grid.size, settings.tensor_ways)
    else:
        ownership = Ownership(manifest.offset, assign_shards(manifest, grid.size, shards))
    if settings.stage_to is not None:
        mine = ownership.own_shards(grid.rank)
        if pieces is not None:  # every rank reads all shards: those of a node copy them together
            mine = np.arange(manifest.num_shards)[grid.node_rank :: grid.node_size]
        store = stage(store, mine, Path(settings.stage_to), show=grid.rank == 0)
    if pieces is not None:
        store = RowPieces(store, pieces.cut)
    return store, ownership, settings


def _own_shards(grid: Grid, store: ShardStore, ownership: Ownership, settings: Settings):
    """This rank's share of the store."""
    own = OwnShards(store, ownership, grid.rank, settings.feature_dtype)
    most = allowed_bytes(settings.memory, grid.node_size) // 4
    random_rows = settings.mode == "macrobatch"  # whole-graph modes make the matrix they read
    fit = settings.features == "auto" and random_rows and own.feature_bytes <= most
    own.features_in_memory = fit or settings.features == "memory"
    return own


def _without_overlap(settings: Settings, grid: Grid) -> Settings:
    if grid.rank == 0:
        print(
            "batchgnn: this MPI or threading layer is not thread-safe: going on with --no-overlap."
        )
    return dataclasses.replace(settings, overlap=False)
