"""Shards copied to a disk of this node before training, verified, once for all later runs there.

On a shared file system many ranks that map their shards read them over one network; a disk of the
node's own is faster, and nobody else's.
"""

import shutil
from pathlib import Path

import numpy as np

from batchgnn.base.bytes import format_bytes
from batchgnn.base.errors import StoreError
from batchgnn.base.progress import progress
from batchgnn.store.format import atomic_file
from batchgnn.store.shard_store import ShardStore, shard_name
from batchgnn.store.shard_verify import check_sums

CHUNK_BYTES = 16 << 20


class StagedStore(ShardStore):
    """A shard store of which some shards are read from copies in another folder."""

    def __init__(self, store: ShardStore, folder: Path):
        self.path, self.manifest, self.folder = store.path, store.manifest, folder
        self.whole = self

    def shard_path(self, s: int) -> Path:
        """The copy of shard s, or its file in the store when it has none."""
        copy = self.folder / shard_name(s)
        return copy if copy.exists() else super().shard_path(s)


def stage(store: ShardStore, shards: np.ndarray, to: Path, *, show: bool) -> StagedStore:
    """Copy the shards into a folder of this store's own below `to`; whole copies stay as they are.

    shards: integers (n,), those that this rank copies; others are read from copies that are there
    show: whether progress is shown on stderr
    Raises StoreError when they do not fit, or when a copy is not what was written.
    """
    folder = to / f"batchgnn-{store.manifest.fingerprint[:16]}"
    places = {store.shard_path(s): folder / shard_name(s) for s in map(int, shards)}
    missing = {
        source: copy
        for source, copy in places.items()
        if not copy.exists() or copy.stat().st_size != source.stat().st_size
    }
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = sum(p.stat().st_size for p in missing), shutil.disk_usage(folder).free
    if needed > free:
        raise StoreError(
            f"{folder}: {format_bytes(needed)} of shards do not fit, {format_bytes(free)} are "
            "free. Remove what is left of other runs there, or leave --stage-to out."
        )
    numbers = {store.shard_path(s): s for s in map(int, shards)}
    with progress(f"copying shards to {folder}", needed >> 20, "MiB", show=show) as bar:
        for source, copy in missing.items():
            with atomic_file(copy, overwrite=True) as beside:
                with source.open("rb") as read, beside.open("wb") as write:
                    while chunk := read.read(CHUNK_BYTES):
                        write.write(chunk)
                        bar.advance(len(chunk) >> 20)
                check_sums(store.manifest, beside, numbers[source])
    return StagedStore(store, folder)
