"""The time in which a job's ranks hold a share: MPI started, the mode chosen, shards open."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from batchgnn.base.errors import StoreError
from batchgnn.base.threads import choose_threading_layer
from batchgnn.comm.failure import abort_on_exception
from batchgnn.comm.grid import Comm, start
from batchgnn.comm.loss import Lost, losses_raised
from batchgnn.modes.assembly import mode_of
from batchgnn.modes.inputs import inputs_of, manifest_as_read
from batchgnn.modes.open import open_share
from batchgnn.modes.options import Messages
from batchgnn.modes.share import Share
from batchgnn.nn.model import Model
from batchgnn.plan.auto import choose_mode
from batchgnn.plan.choose_ways import choose_ways
from batchgnn.run.finite import put_weights
from batchgnn.run.folder import RunFolder
from batchgnn.run.trained_rows import read_best_rows
from batchgnn.settings.settings import Settings
from batchgnn.store.checkpoint import refuse_other_shards
from batchgnn.store.shard_store import MANIFEST, Manifest, read_manifest


@contextmanager
def open_session(
    shards: Path, settings: Settings, comm: Comm | None = None, lost: tuple[Lost, ...] = ()
) -> Iterator[Share]:
    """Start MPI, choose a mode where that is asked for, open this rank's share; collective.

    comm: an MPI communicator, by default all ranks of the job.
    lost: the ranks that the job had, and that are gone
    Raises RankLostError where a rank is lost and MPI goes on without it, and a BatchGNNError on
    every rank when any rank cannot.
    """
    choose_threading_layer()
    with start(comm, lost) as grid, abort_on_exception(grid.world), losses_raised(grid):
        settings, why = choose_mode(grid, shards, settings)
        settings = choose_ways(grid, shards, settings)
        with open_share(grid, shards, settings) as share:
            share.why_mode = why
            yield share


@contextmanager
def open_run(run: Path, shards: Path | None, metric: str | None = None) -> Iterator[Share]:
    """The share of a finished or running run, on the shards it was trained on; collective."""
    where, settings = RunFolder(run).shards_and_settings()
    options: dict[str, Any] = {"overlap": False} if Messages in settings else {}
    if not inputs_of(settings).is_made:
        options["features"] = "mapped"
    if metric is not None:
        options["metric"] = metric
    options |= mode_of(settings).to_infer
    with open_session(shards or where, settings.replace(**options)) as share:
        yield share


def load_best(share: Share, run: Path, shards: Path | None = None) -> None:
    """Put the run's best parameters into the share's model, and its best rows; raises StoreError.

    shards: as `put_best` takes it
    """
    put_best(share.model, run, share.manifest, shards)
    if share.table is not None:
        best = read_best_rows(run, share.manifest.fingerprint, share.own.ids)
        put_weights(best.path, share.model.parameters, best.weights)
        share.table.rows[...] = best.rows


def put_best(model: Model, run: Path, manifest: Manifest, shards: Path | None) -> None:
    """The run's best parameters for a shard store; raises StoreError.

    manifest  of the store
    shards    the store, where it was named: it may be another graph or cut than the run's own, with
              the same features and classes
    """
    folder = RunFolder(run)
    where, settings = folder.shards_and_settings()
    best = folder.read_model()
    if best.fingerprint != manifest.fingerprint:
        if shards is None or not (where / MANIFEST).is_file():
            refuse_other_shards(folder.model, best.fingerprint, manifest.fingerprint)
        trained = manifest_as_read(read_manifest(where), settings)
        manifest = manifest_as_read(manifest, settings)
        refuse_other_shards(folder.model, best.fingerprint, trained.fingerprint)
        for name in ("num_features", "num_classes", "task"):
            found, needed = getattr(manifest, name), getattr(trained, name)
            if found != needed:
                raise StoreError(
                    f"{shards} has {name} {found}, and {run} was trained with {needed}: take "
                    "shards of a graph with the same features and classes."
                )
    put_weights(folder.model, model.parameters, best.parameters)
