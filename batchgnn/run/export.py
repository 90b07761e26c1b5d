"""`batchgnn export`: a best model as safetensors, named and shaped as in PyTorch Geometric."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from batchgnn import __version__
from batchgnn.base.errors import StoreError
from batchgnn.modes.assembly import resolved, task_of
from batchgnn.modes.inputs import inputs_of
from batchgnn.modes.open import build_model
from batchgnn.nn.model import Model
from batchgnn.nn.pyg import pyg_state
from batchgnn.run.finite import put_weights
from batchgnn.run.folder import RunFolder
from batchgnn.run.session import put_best
from batchgnn.run.trained_rows import in_graph_order, read_best_rows
from batchgnn.store.format import atomic_file
from batchgnn.store.shard_store import read_manifest


def export(run: Path, model: Path, *, shards: Path | None = None) -> None:
    """Write a run's best model as safetensors, loadable into PyTorch Geometric's convolutions.

    Parameters
    ----------
    run
        run folder, made by `batchgnn train`
    model
        safetensors file to write; must not exist
    shards
        shard store, when it has moved since training
    """
    from safetensors.numpy import save

    if model.exists():
        raise StoreError(f"{model} exists: nothing is written over. Choose another name.")
    built = best_model(run, shards)
    with atomic_file(model) as beside:
        state = best_state(built, run, shards)
        beside.write_bytes(save(state, metadata=about(built, run, shards)))
    print(f"{model}: {built.parameters.size:,} parameters of {built.spec.model}")


def best_state(built: Model, run: Path, shards: Path | None = None) -> dict[str, np.ndarray]:
    """As `pyg_state`; of trained input rows `inputs.weight` (N, d) too, in the graph's order."""
    where, settings = RunFolder(run).shards_and_settings()
    if not inputs_of(settings).is_trained:
        return pyg_state(built)
    where = shards or where
    manifest = read_manifest(where)
    best = read_best_rows(run, manifest.fingerprint, np.arange(manifest.num_vertices))
    put_weights(best.path, built.parameters, best.weights)
    return {"inputs.weight": in_graph_order(where, best.rows), **pyg_state(built)}


def about(model: Model, run: Path, shards: Path | None = None) -> dict[str, str]:
    """The metadata of an exported model: all that is needed to build it again, as text.

    model, layers, heads and other fields of `ModelSpec`; widths, task, class_names (JSON); name and
    fingerprint of the shards that it was trained on.
    """
    manifest = read_manifest(shards or RunFolder(run).shards_and_settings()[0])
    return {
        "format": "pt",
        "made_by": f"batchgnn {__version__}",
        **{name: str(value) for name, value in asdict(model.spec).items()},
        "widths": json.dumps([int(width) for width in model.widths]),
        "task": manifest.task,
        "class_names": json.dumps(manifest.class_names),
        "trained_on": manifest.name,
        "fingerprint": manifest.fingerprint,
    }


def best_model(run: Path, shards: Path | None = None) -> Model:
    """The model of a run with its best parameters; raises StoreError.

    shards: as `put_best` takes it
    """
    where, settings = RunFolder(run).shards_and_settings()
    manifest = read_manifest(shards or where)
    settings = resolved(settings, manifest.task, manifest.feature_name)
    built = build_model(manifest, settings, task_of(settings).make(settings))
    put_best(built, run, manifest, shards)
    return built
