"""`batchgnn predict`: probabilities or embeddings of all vertices, in the order of the graph store.

Each rank computes the rows of its own vertices; one exchange turns them into the rows of one slab
of the output per rank, which that rank writes.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from batchgnn.base.errors import StoreError
from batchgnn.comm.exchange import exchange_counts, exchange_parts
from batchgnn.comm.failure import fail_together
from batchgnn.kernels.loss import sigmoid, softmax
from batchgnn.modes.choice import make_inference
from batchgnn.run.session import Session, load_best, open_run
from batchgnn.store.prediction import create_prediction, publish_prediction, write_slab


def predict(
    run: Path,
    out: Path,
    *,
    output: Literal["probability", "embedding"] = "probability",
    shards: Path | None = None,
) -> None:
    """Write class probabilities or embeddings of all vertices to an HDF5 file.

    Parameters
    ----------
    run
        run folder, made by `batchgnn train`
    out
        HDF5 file to write: `probability` (N, C) or `embedding` (N, hidden), float32, and
        `original_id` (N,), the ids of the user's graph; must not exist
    output
        class probabilities, or the input rows of the last layer
    shards
        shard store, when it has moved since training
    """
    with open_run(run, shards) as session:
        world, num_vertices = session.grid.world, session.manifest.num_vertices
        with fail_together(world, f"opening {run}"):
            if out.exists():
                raise StoreError(f"{out} exists: nothing is written over. Choose another name.")
            load_best(session, run)
        columns = {output: predicted_rows(session, output), "original_id": session.own.names()}
        with fail_together(world, f"writing {out}"):
            if session.is_first:
                shapes = {k: (v.dtype, (num_vertices, *v.shape[1:])) for k, v in columns.items()}
                create_prediction(out, {"name": session.manifest.name, "run": str(run)}, shapes)
        slabs = {k: to_slab(session, rows) for k, rows in columns.items()}
        with fail_together(world, f"writing {out}"):
            for name, slab in slabs.items():
                write_slab(out, name, slab_begin(num_vertices, world.size, world.rank), slab)
        with fail_together(world, f"writing {out}"):
            if session.is_first:
                publish_prediction(out)
                print(f"{out}: {output} of {num_vertices:,} vertices", flush=True)


def predicted_rows(session: Session, output: str) -> np.ndarray:
    """float32 (num_own, C) probabilities, or (num_own, hidden) embeddings; collective."""
    inference = make_inference(session)
    if output == "embedding":
        return inference.rows(session.model.num_layers - 1)
    logits = inference.logits()
    (sigmoid if session.manifest.task == "multilabel" else softmax)(logits, logits)
    return logits


def slab_begin(num_vertices: int, num_ranks: int, rank):
    """First row of the graph store in a rank's slab of the output."""
    return num_vertices * rank // num_ranks


def to_slab(session: Session, rows: np.ndarray) -> np.ndarray:
    """From rows of own vertices to consecutive rows of the graph store; collective."""
    world, num_vertices = session.grid.world, session.manifest.num_vertices
    original = session.own.original_id
    begin = slab_begin(num_vertices, world.size, np.arange(world.size + 1))
    receiver = np.searchsorted(begin, original, side="right") - 1
    order = np.argsort(original, kind="stable")
    counts = np.bincount(receiver, minlength=world.size).astype(np.int64)
    received = exchange_counts(world, counts, "predictions")
    places = np.empty(received.sum(), np.int64)
    exchange_parts(world, original[order], counts, places, received, "predictions")
    arrived = np.empty((len(places), *rows.shape[1:]), rows.dtype)
    exchange_parts(world, as_bytes(rows[order]), counts, as_bytes(arrived), received, "predictions")
    slab = np.empty_like(arrived)
    slab[places - begin[world.rank]] = arrived
    return slab


def as_bytes(rows: np.ndarray) -> np.ndarray:
    """A view of the rows as bytes, so that strings travel too; uint8 (n, bytes of a row)."""
    width = rows.dtype.itemsize * int(np.prod(rows.shape[1:], dtype=np.int64))
    return rows.view(np.uint8).reshape(len(rows), width)
