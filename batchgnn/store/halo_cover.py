"""Minimum covers of the halo beside the shards: `cover/CUT-%05d.h5`, a file for each rank of a cut.

A cut is which edges there are, and which rank has which shards; its files are named by a digest of
both, so that one that is found fits. Any set of rows is exact: a file saves time, and no more. One
that cannot be read is made again, and where none can be written the next run finds the cover anew.
"""

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batchgnn.base.errors import StoreError
from batchgnn.store.format import (
    BROKEN,
    atomic_file,
    create_aligned,
    create_store,
    open_store,
    whole,
)
from batchgnn.store.kept_inputs import digest
from batchgnn.store.shard_store import Manifest

FORMAT = "batchgnn-cover"
FOLDER = "cover"
DATASET = "chosen"
EDGES = ["in/indptr", "in/indices"]


@dataclass(frozen=True, eq=False)
class Cover:
    """Of one rank's halo.

    chosen    bool (h,)  of which remote sources the rows travel, by owner and ascending
    num_rows  how many rows come in, with those that are sums
    """

    chosen: np.ndarray
    num_rows: int


def cut_of(manifest: Manifest, rank_of_shard: np.ndarray) -> str:
    """32 hexadecimal digits: the shards' edges, and their ranks."""
    ranks = rank_of_shard.astype(np.int64).tolist()
    return hashlib.blake2b(
        f"{digest(manifest, EDGES)} {ranks}".encode(), digest_size=16
    ).hexdigest()


def cover_path(shards: Path, cut: str, rank: int) -> Path:
    """The file of a rank's cover."""
    return shards / FOLDER / f"{cut}-{rank:05d}.h5"


def read_cover(shards: Path, cut: str, rank: int, num_halo: int | None = None) -> Cover | None:
    """What was kept; None where there is none, or none of `num_halo` rows that can be read."""
    path = cover_path(shards, cut, rank)
    if not path.is_file():
        return None
    try:
        with open_store(path, FORMAT, "cover of the halo") as file:
            num_bits, num_rows = (whole(file.attrs[name]) for name in ("num_halo", "num_rows"))
            bits = np.unpackbits(file[DATASET][:], count=num_bits).astype(bool)
    except (StoreError, *BROKEN):
        return None
    fits = num_halo in (None, len(bits)) and 0 <= num_rows <= len(bits)
    return Cover(bits, num_rows) if fits else None


def keep_cover(shards: Path, cut: str, rank: int, cover: Cover) -> None:
    """Write it, if that can be."""
    path, bits = cover_path(shards, cut, rank), np.packbits(cover.chosen)
    with (
        contextlib.suppress(StoreError),
        atomic_file(path, overwrite=True) as beside,
        create_store(beside, FORMAT) as file,
    ):
        file.attrs["num_halo"], file.attrs["num_rows"] = len(cover.chosen), cover.num_rows
        create_aligned(file, DATASET, bits.shape, bits.dtype)[...] = bits


def kept_rows(shards: Path, manifest: Manifest, rank_of_shard: np.ndarray) -> np.ndarray | None:
    """int64 (P,): rows that come in at each rank by covers that were kept; None where one lacks."""
    cut, num_ranks = cut_of(manifest, rank_of_shard), int(rank_of_shard.max()) + 1
    found = [read_cover(shards, cut, rank) for rank in range(num_ranks)]
    kept = [each.num_rows for each in found if each is not None]
    return np.array(kept, np.int64) if len(kept) == num_ranks else None
