"""`batchgnn predict`: probabilities or embeddings of all vertices, in the order of the graph store.

Each rank computes the rows of its own vertices; one exchange turns them into the rows of one slab
of the output per rank, which that rank writes.
"""

from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from batchgnn.base.errors import BatchGNNError, StoreError
from batchgnn.comm.exchange import exchange_counts, exchange_parts
from batchgnn.comm.failure import fail_together
from batchgnn.modes.open import make_inference
from batchgnn.modes.share import Share
from batchgnn.run.predict_pairs import predict_pairs
from batchgnn.run.session import load_best, open_run
from batchgnn.store.format import make_folder_of
from batchgnn.store.prediction import (
    create_prediction,
    discard_prediction,
    publish_prediction,
    write_slab,
)
from batchgnn.store.prediction_table import check_name

Rank = TypeVar("Rank", int, np.ndarray)
"A rank, or several."


def predict(
    run: Path,
    out: Path,
    *,
    output: Literal["prediction", "embedding"] = "prediction",
    shards: Path | None = None,
    pairs: Path | None = None,
) -> None:
    """Write what is predicted of all vertices, or their embeddings, to a file.

    Parameters
    ----------
    run
        run folder, made by `batchgnn train`
    out
        file to write; must not exist. One that ends in .csv or .parquet is a table: `original_id`,
        the ids of the user's graph; of classes `predicted`, by name, and `probability_NAME` of
        each; `number`; or `embedding_0` and so on. Any other is HDF5, with `original_id` (N,) and
        `probability` (N, C), `number` (N,) or `embedding` (N, width), float32
    output
        what the task predicts (class probabilities, a number, or for links an embedding), or the
        last layer's input rows
    shards
        shard store, when it has moved since training, or another cut, or another graph with the
        same features and classes
    pairs
        of a run on links: .npz, .csv or .parquet file with `source` and `target`, your ids; written
        with the `score` of each pair, the decoder's logit. Of a run on events: with `time` too;
        written with the `probability` of each pair's meeting at its time
    """
    with open_run(run, shards) as share:
        world, num_vertices = share.grid.world, share.manifest.num_vertices
        with fail_together(world, f"opening {run}"):
            check_name(out)
            if out.exists():
                raise StoreError(f"{out} exists: nothing is written over. Choose another name.")
            if share.is_first:
                make_folder_of(out)
            load_best(share, run, shards)
        if pairs is not None:
            count, said = predict_pairs(share, run, out, pairs)
            if share.is_first:
                print(f"{out}: {said} of {count:,} pairs", flush=True)
            return
        predicted = predicted_rows(share, output)
        try:
            write_prediction(share, out, {**predicted, "original_id": share.own.names()}, run)
        except BatchGNNError:
            if share.is_first:
                discard_prediction(out)
            raise
        if share.is_first:
            print(f"{out}: {', '.join(predicted)} of {num_vertices:,} vertices", flush=True)


def write_prediction(share: Share, out: Path, columns: dict[str, np.ndarray], run: Path) -> None:
    """Write rows of own vertices, by name, to the file, which all ranks see; collective."""
    world, num_vertices = share.grid.world, share.manifest.num_vertices
    with fail_together(world, f"writing {out}"):
        if share.is_first:
            shapes = {k: (v.dtype, (num_vertices, *v.shape[1:])) for k, v in columns.items()}
            create_prediction(out, run, share.manifest, shapes)
    slabs = {k: to_slab(share, rows) for k, rows in columns.items()}
    with fail_together(world, f"writing {out}"):
        for name, slab in slabs.items():
            write_slab(out, name, slab_begin(num_vertices, world.size, world.rank), slab)
    with fail_together(world, f"writing {out}"):
        if share.is_first:
            publish_prediction(out)


def predicted_rows(share: Share, output: str) -> dict[str, np.ndarray]:
    """By name, rows of own vertices: what the task predicts, or `embedding`; collective."""
    inference = make_inference(share)
    if output == "embedding":
        return {output: inference.rows(share.model.num_layers - 1)}
    return share.task.predict(inference)


def slab_begin(num_vertices: int, num_ranks: int, rank: Rank) -> Rank:
    """First row of the graph store in a rank's slab of the output."""
    return num_vertices * rank // num_ranks


def to_slab(share: Share, rows: np.ndarray) -> np.ndarray:
    """From rows of own vertices to consecutive rows of the graph store; collective."""
    world, num_vertices = share.grid.world, share.manifest.num_vertices
    original = share.own.original_id
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
