"""Opening a share: this rank's shards, threads, the model and the task of the settings."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from batchgnn.base.bytes import MemoryPlan, allowed_bytes
from batchgnn.base.errors import DataError, StoreError
from batchgnn.base.threads import choose_threading_layer, own_cores, threads_for, use_threads
from batchgnn.comm.failure import ANSWER_S, Watchdog, fail_together
from batchgnn.comm.grid import Grid
from batchgnn.comm.values import values_of_all
from batchgnn.graph.ownership import Ownership
from batchgnn.modes.assembly import mode_of, resolved, task_of
from batchgnn.modes.chosen import model_of
from batchgnn.modes.extent import Extent
from batchgnn.modes.inputs import inputs_of, make_table, manifest_as_read, store_as_read
from batchgnn.modes.mode import Mode
from batchgnn.modes.options import Messages
from batchgnn.modes.share import Share
from batchgnn.modes.survival import Survival, drops
from batchgnn.nn.model import Model, ModelSpec
from batchgnn.nn.models import make_model
from batchgnn.settings.general import Features, Run, Training
from batchgnn.settings.settings import Settings
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.shard_store import Manifest, ShardStore
from batchgnn.store.stage import stage
from batchgnn.tasks.task import Inference, Task


@contextmanager
def open_share(grid: Grid, shards: Path, settings: Settings) -> Iterator[Share]:
    """Set threads, map this rank's shards, build the model; collective.

    The mode must be chosen. Raises a BatchGNNError on every rank when any rank cannot.
    """
    thread_safe = choose_threading_layer() and grid.thread_multiple
    with fail_together(grid.world, f"opening {shards}"):
        store, ownership, settings = _open_store(grid, shards, settings)
    with fail_together(grid.world, f"opening {shards}"):  # all copies of the node are there
        own = _own_shards(grid, store, ownership, settings)
    cores = values_of_all(grid.node, own_cores())
    with fail_together(grid.world, "choosing threads"):
        threads = threads_for(settings[Run].threads, cores[grid.node_rank], cores)
    with _watchdog(grid, settings), use_threads(threads):
        task = task_of(settings).make(settings)
        model = build_model(own.manifest, settings, task)
        task.attach(model.parameters)
        with fail_together(grid.world, f"opening {shards}"):
            _check_norms(own, model)
        near = mode_of(settings).share_rows(grid, own, settings, model.aggregation == "gcn")
        # where all rows are read in place, nothing is waited for
        in_place = near is not None and grid.node_size == grid.size
        in_place |= not mode_of(settings).needs_others(settings, grid.size)
        settings = _with_overlap(settings, grid, in_place=in_place, thread_safe=thread_safe)
        table = make_table(own, settings, model.parameters.buffer.dtype)
        yield Share(grid, own.manifest, own, settings, model, task, threads, table, near)


def _watchdog(grid: Grid, settings: Settings) -> Watchdog:
    """Ends a job that waits for a rank, or the rank where the others go on without it."""
    survival, timeout_s = settings.get(Survival), settings[Run].collective_timeout
    if survival is None or not drops(settings):
        return Watchdog(grid, timeout_s)
    timeout_s = survival.straggler_deadline or timeout_s
    return Watchdog(grid, timeout_s, min(timeout_s, ANSWER_S), drops=True)


def _check_norms(own: OwnShards, model: Model) -> None:
    """Raise DataError where the model divides by the root of a degree that is not above 0."""
    if model.aggregation != "gcn":
        return
    bad = np.flatnonzero(~np.isfinite(own.gcn_scale))
    if len(bad):
        raise DataError(
            f"{own.path}: the weights of the edges into vertex {own.original_id[bad[0]]} add up to "
            f"-1 or less ({len(bad):,} such vertices here), and --model {model.spec.model} divides "
            "by the root of 1 more: take another --model, or convert it with weights above 0."
        )


def build_model(manifest: Manifest, settings: Settings, task: Task) -> Model:
    """The model of the settings, with the initial weights of its seed; raises StoreError."""
    read = manifest_as_read(manifest, settings)
    num_features = read.num_features if read.events is None else read.events.num_features
    if not num_features and not model_of(settings).of_events:
        raise StoreError(
            f"no vertex of {manifest.name} has features, which models begin with. Take --inputs "
            "degree, constant or embedding; or convert the graph with --vertices or "
            "--features-npy: batchgnn data convert --help"
        )
    options = settings.options()
    names = [field.name for field in dataclasses.fields(ModelSpec)]
    spec = ModelSpec(**{name: options[name] for name in names if name in options})
    widths, seed = (num_features, task.width(manifest)), settings[Training].seed
    return make_model(spec, *widths, extra=task.head(), seed=seed)


def check_split(manifest: Manifest, settings: Settings, shards: Path) -> None:
    """Raise StoreError where the shards have no such official split."""
    index = settings[Training].split_index
    if index >= manifest.num_splits:
        raise StoreError(
            f"{shards} has {manifest.num_splits} splits, --split-index {index} asks for one more. "
            f"Take 0 to {manifest.num_splits - 1}."
        )


def _open_store(
    grid: Grid, shards: Path, settings: Settings
) -> tuple[ShardStore, Ownership, Settings]:
    """The store, staged where that is asked for, who owns what in it, the settings resolved."""
    store = ShardStore(shards)
    manifest = store.manifest
    settings = resolved(settings, manifest.task, manifest.feature_name)
    check_split(manifest, settings, shards)
    mode = mode_of(settings)
    if grid.lost and mode.deal_again is not None:
        dealt = mode.deal_again(store, grid.size, settings, grid.lost)
    else:
        dealt = mode.deal(store, grid.size, settings)
    if (folder := settings[Run].stage_to) is not None:
        mine = dealt.ownership.own_shards(grid.rank)
        if dealt.every_shard:  # those of a node copy them together
            mine = np.arange(manifest.num_shards)[grid.node_rank :: grid.node_size]
        store = stage(store, mine, Path(folder), show=grid.rank == 0)
    return store_as_read(dealt.view(store), settings), dealt.ownership, settings


def _own_shards(
    grid: Grid, store: ShardStore, ownership: Ownership, settings: Settings
) -> OwnShards:
    """This rank's share of the store."""
    rows = settings[Features]
    own = OwnShards(store, ownership, grid.rank, rows.feature_dtype)
    most = allowed_bytes(settings[Run].memory, grid.node_size) // 4
    is_worth_it = rows.features == "auto" and mode_of(settings).random_rows
    fits = is_worth_it and own.feature_bytes <= most
    is_made = inputs_of(settings).is_made
    own.features_in_memory = fits or is_made or rows.features == "memory"
    return own


def _with_overlap(settings: Settings, grid: Grid, *, in_place: bool, thread_safe: bool) -> Settings:
    """Whether messages travel meanwhile, where nothing was said and where they cannot."""
    messages = settings.get(Messages)
    if messages is None:
        return settings
    overlap = not in_place if messages.overlap is None else messages.overlap
    if overlap and not thread_safe:
        overlap = False
        if grid.rank == 0:
            print(
                "batchgnn: this MPI or threading layer is not thread-safe: going on with "
                "--no-overlap."
            )
    return settings.replace(overlap=overlap)


def make_mode(share: Share) -> Mode:
    """The mode of the settings, ready to train; collective."""
    task_of(share.settings).begin(share.task, share.grid.world, share.own, share.settings)
    return mode_of(share.settings).make(share)


def make_inference(share: Share) -> Inference:
    """Exact predictions by a model that is trained already; collective."""
    return mode_of(share.settings).infer(share)


def plan_memory(extent: Extent) -> MemoryPlan:
    """Peak bytes on a rank, by what holds them."""
    return mode_of(extent.settings).memory(extent)
