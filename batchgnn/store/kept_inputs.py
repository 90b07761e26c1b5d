"""Aggregated input features beside the shards: `aggregate/NAME-%05d.h5`, one file per shard.

A row is what the first layer's aggregation gives for a vertex over its whole in-neighbourhood. A
file says which features and which topology it was made from; one that does not fit is refused, not
made again, because it may be another job's. The shard files themselves are never opened for
writing.
"""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from batchgnn.base.errors import StoreError
from batchgnn.store.format import (
    atomic_file,
    create_aligned,
    create_store,
    map_dataset,
    open_store,
    text,
)
from batchgnn.store.shard_store import Manifest, ShardStore
from batchgnn.store.shard_writer import reserve

FORMAT = "batchgnn-aggregate"
FOLDER = "aggregate"
DATASET = "aggregate"
NO_PERMISSION = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What aggregated rows were made from: attributes of their file, all of them text.

    aggregation  mean, sum or gcn (the last with the norms and the loop of every vertex)
    view         the edges that count: "directed weighted", "undirected" and so on
    number       float32, float16 or bfloat16
    features     digest over the checksums of all shards' features
    topology     digest over those of all shards' in-edges, and the shards' offsets
    """

    aggregation: str
    view: str
    number: str
    features: str
    topology: str

    @property
    def name(self) -> str:
        """Files of other names do not disturb each other."""
        return f"{self.aggregation}-{self.number}"


REASONS = {
    "topology": "belongs to another partitioning, or to other edges",
    "features": "is stale: it was made from other features",
    "aggregation": "holds another aggregation",
    "view": "was made from another view of the edges",
    "number": "holds other numbers",
}
"Field of `Origin` in which a file differs -> what to say; the first counts."


def origin_of(manifest: Manifest, aggregation: str, number: str) -> Origin:
    """What rows aggregated from this store are made from."""
    weighted = manifest.weighted and aggregation == "gcn"
    view = ("directed" if manifest.directed else "undirected") + " weighted" * weighted
    view += ", each loop once" * (aggregation == "gcn")
    edges = ["in/indptr", "in/indices"] + ["in/weight"] * weighted
    return Origin(
        aggregation=aggregation,
        view=view,
        number=number,
        features=digest(manifest, ["vertex/features"]),
        topology=digest(manifest, edges),
    )


def kept_path(store: ShardStore, origin: Origin, s: int) -> Path:
    """File of the aggregated rows of shard s."""
    return store.path / FOLDER / f"{origin.name}-{s:05d}.h5"


def open_kept(store: ShardStore, origin: Origin, s: int) -> np.ndarray | None:
    """The rows of shard s, mapped: (n, D); None when there is no file.

    Raises StoreError when the file is damaged or made from something else.
    """
    path = kept_path(store, origin, s)
    if not path.exists():
        return None
    make = f"the next run, after: rm {_all_of(path)}"
    with open_store(path, FORMAT, "file of aggregated features", make) as file:
        for field, reason in REASONS.items():
            found, needed = text(file.attrs.get(field, "unknown")), getattr(origin, field)
            if found != needed:
                raise StoreError(
                    f"{path} {reason} ({field} {found}, needed {needed}). {_remake(path)}"
                )
        if int(file.attrs["shard"]) != s:
            raise StoreError(f"{path} holds shard {int(file.attrs['shard'])}. {_remake(path)}")
        try:
            rows = map_dataset(file, DATASET)
        except StoreError as error:
            raise StoreError(f"{error}. {_remake(path)}") from error
    shape = int(store.manifest.shard_vertices[s]), store.manifest.num_features
    if rows.shape != shape:
        raise StoreError(f"{path} has rows of shape {rows.shape}, needed {shape}. {_remake(path)}")
    return rows


@contextmanager
def create_kept(
    store: ShardStore, origin: Origin, s: int, dtype: DTypeLike
) -> Iterator[np.ndarray]:
    """A writable map (n, D) of shard s's rows, which become its file when the block ends well.

    Raises StoreError when the folder may not be written to, or the disk is full.
    """
    path = kept_path(store, origin, s)
    shape = int(store.manifest.shard_vertices[s]), store.manifest.num_features
    with _may_be_read_only(path.parent), atomic_file(path, overwrite=True) as beside:
        with create_store(beside, FORMAT) as file:
            for field in fields(Origin):
                file.attrs[field.name] = getattr(origin, field.name)
            file.attrs["shard"] = s
            dataset = create_aligned(file, DATASET, shape, dtype)
            offset = dataset.id.get_offset() if dataset.size else None
        reserve(beside)
        if offset is None:
            yield np.empty(shape, dtype)
        else:
            rows = np.memmap(beside, dtype, "r+", offset, shape)
            yield rows
            rows.flush()


@contextmanager
def _may_be_read_only(folder: Path) -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        cause = error.__cause__
        if not isinstance(cause, OSError) or cause.errno not in NO_PERMISSION:
            raise
        raise StoreError(
            f"{folder} may not be written to ({os.strerror(cause.errno)}): make it writable, or "
            "keep the aggregated features in memory with --aggregate-cache memory."
        ) from error


def _all_of(path: Path) -> str:
    return f"{path.parent / path.name[:-8]}*.h5"


def _remake(path: Path) -> str:
    return f"Remove it, and the next run makes it again: rm {_all_of(path)}"


def digest(manifest: Manifest, datasets: list[str]) -> str:
    """32 hexadecimal digits over the checksums of some datasets of all shards, and the offsets."""
    names = [text(name) for name in manifest.checksum_dataset]
    columns = [manifest.checksum[:, names.index(name)].tolist() for name in datasets]
    digest = hashlib.blake2b(digest_size=16)
    for part in (columns, manifest.offset.tolist()):
        digest.update(repr(part).encode())
    return digest.hexdigest()
