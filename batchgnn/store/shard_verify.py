"""Checking a whole shard store: checksums, then what must hold between its arrays.

Every byte is read once. Threads look at shards, one each; memory is bounded by a shard and a bit
per vertex of the graph for each of them.
"""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np

from batchgnn.base.errors import StoreError
from batchgnn.base.progress import progress
from batchgnn.base.threads import own_cores, usable_cores
from batchgnn.kernels.arcs import check_arcs
from batchgnn.kernels.half import as_floats
from batchgnn.kernels.id_table import mark_bits
from batchgnn.store.degrees import count_degrees
from batchgnn.store.event_verify import StreamCheck
from batchgnn.store.labels import MULTICLASS, MULTILABEL, REGRESSION, in_range
from batchgnn.store.link_verify import LinkCheck
from batchgnn.store.seeds import TRAIN, is_seed
from batchgnn.store.shard_check import RESTORE, Fold, check_frame
from batchgnn.store.shard_store import Manifest, Shard, ShardStore
from batchgnn.store.shard_writer import fingerprint_of

ALLOWED = {MULTICLASS: "-1 or a class", MULTILABEL: "0, 1 or 255", REGRESSION: "finite or NaN"}
ROWS = 1 << 16
"Rows of features that are looked at together."


def verify(path: str | os.PathLike, *, show: bool = False) -> Manifest:
    """Read every byte of the shard store at `path` and return its manifest.

    show  whether progress is shown on stderr
    Raises StoreError, which names the first broken dataset, or the property that does not hold.
    """
    store = ShardStore(path)
    manifest = store.manifest
    _check_fingerprint(store)
    degree_count = np.zeros_like(manifest.degree_count)
    seen = np.zeros(-(-manifest.num_vertices // 8), np.uint8)
    num_out, stream, links = 0, StreamCheck(manifest), LinkCheck(manifest)
    with (
        progress("verifying", manifest.num_shards, "shards", show=show) as bar,
        ThreadPoolExecutor(usable_cores(len(own_cores()))) as threads,
    ):
        looked_at = [threads.submit(_whole_shard, store, s) for s in range(manifest.num_shards)]
        try:
            for s, found in enumerate(looked_at):
                shard = found.result()
                _require(store, s, chain(stream.claims(shard), links.claims(shard)))
                _mark_originals(store, s, shard.original_id, seen)
                num_out += int(shard.degree_out.sum())
                if degree_count.size:
                    is_of_split = is_seed(shard.label, shard.split)
                    degree_count += count_degrees(shard.degree_in, shard.degree_out, is_of_split)
                bar.advance()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
    if not stream.agrees:
        raise StoreError(
            f"{path}: event/id and in/indices tell of other events than event/source and "
            f"event/target. {RESTORE}"
        )
    if not links.agrees:
        raise StoreError(f"{path}: a held-out arc lacks its reverse. {RESTORE}")
    if num_out != manifest.num_edges:
        raise StoreError(
            f"{path}: degree/out adds up to {num_out:,} arcs, the shards hold "
            f"{manifest.num_edges:,}. {RESTORE}"
        )
    if (degree_count != manifest.degree_count).any():
        raise StoreError(
            f"{path}: degree/count of the manifest is not that of the shards. {RESTORE}"
        )
    return manifest


def _whole_shard(store: ShardStore, s: int) -> Shard:
    """Shard s, whose bytes and own claims hold; raises StoreError, also when it is missing."""
    store.places(s)
    check_sums(store.manifest, store.shard_path(s), s)
    store.trust(s)
    shard = store.shard(s)
    _require(store, s, _invariants(store.manifest, shard))
    return shard


def _require(store: ShardStore, s: int, claims: Iterator[tuple[str, bool]]) -> None:
    """Raise StoreError for the first claim that does not hold."""
    for name, holds in claims:
        if not holds:
            raise StoreError(f"{store.shard_path(s)}: {name} does not hold. {RESTORE}")


def _check_fingerprint(store: ShardStore) -> None:
    """The manifest's fingerprint is that of its checksums; the rest `read_manifest` looks at."""
    m = store.manifest
    if fingerprint_of(m.checksum, m.checksum_dataset, m.offset) != m.fingerprint:
        raise StoreError(
            f"{store.path / 'manifest.h5'}: fingerprint: that of the checksums does not hold. "
            f"{RESTORE}"
        )


def check_sums(manifest: Manifest, path: Path, s: int) -> None:
    """Raise StoreError unless every dataset of the file has the bytes that shard s was given."""
    check_frame(path, s, manifest.place, manifest.fold, manifest.fingerprint)
    places, sums = manifest.place[s].tolist(), manifest.fold[s]
    with path.open("rb", buffering=0) as file:
        known = zip(manifest.checksum_dataset, manifest.checksum[s], places, sums, strict=False)
        for name, wanted, (begin, size), total in known:
            digest = hashlib.blake2b(digest_size=16)
            fold = Fold(file, digest)
            fold.add(begin, size)
            if digest.hexdigest() != wanted.decode() or fold.total != total:
                raise StoreError(
                    f"{path}: dataset {name.decode()} is damaged, its checksum is not the one in "
                    f"the manifest. {RESTORE}"
                )


def _invariants(m: Manifest, shard: Shard) -> Iterator[tuple[str, bool]]:
    """(claim, whether it holds) of one shard whose datasets have the right dtype and shape."""
    s, own = shard.shard, (int(m.offset[shard.shard]), int(m.offset[shard.shard + 1]))
    halo: list[int] = []
    yield from _side(m, "in", shard.in_indptr, shard.in_indices, shard.degree_in, own, halo)
    if shard.out_indptr is None or shard.out_indices is None:
        yield "degree/out: equals degree/in", np.array_equal(shard.degree_out, shard.degree_in)
    else:
        yield from _side(m, "out", shard.out_indptr, shard.out_indices, shard.degree_out, own, [])
    yield "shard/num_halo of the manifest: distinct remote in-neighbours", halo == [m.num_halo[s]]
    if m.links is None:
        if shard.event_split is None:
            seeds = is_seed(shard.label, shard.split).sum(axis=0)
        else:
            seeds = np.array([np.count_nonzero(shard.event_split == TRAIN)])
        yield (
            "shard/num_seeds of the manifest: labelled vertices, or events, of split 1",
            np.array_equal(seeds, m.num_seeds[s]),
        )
    yield "vertex/split: 0 to 3", bool((shard.split <= 3).all())
    known = in_range(m.task, shard.label, m.num_classes)
    yield f"vertex/label: {ALLOWED.get(m.task)}", bool(known.all())
    rows = range(0, shard.num_vertices, ROWS)
    finite = all(np.isfinite(as_floats(shard.features[row : row + ROWS])).all() for row in rows)
    yield "vertex/features: finite", finite
    if shard.in_weight is not None and shard.weighted_in is not None:
        row = np.repeat(np.arange(shard.num_vertices), shard.degree_in)
        total = np.bincount(row, shard.in_weight, shard.num_vertices)
        same = np.allclose(shard.weighted_in, total, rtol=1e-5, atol=1e-6)
        yield "degree/weighted_in: sum of the in-edges' weights", same


def _side(
    m: Manifest,
    side: str,
    indptr: np.ndarray,
    indices: np.ndarray,
    degree: np.ndarray,
    own: tuple[int, int],
    halo: list[int],
) -> Iterator[tuple[str, bool]]:
    """Claims about the in-arcs or the out-arcs.

    own   first and last of the shard's ids
    halo  gets the number of distinct ids outside of these
    """
    ends = indptr[0] == 0 and indptr[-1] == len(indices) and bool((np.diff(indptr) >= 0).all())
    yield f"{side}/indptr: from 0 to the number of arcs, ascending", ends
    yield f"degree/{side}: differences of {side}/indptr", np.array_equal(np.diff(indptr), degree)
    marks = np.zeros(-(-m.num_vertices // 8), np.uint8)
    in_range, ascending, outside = check_arcs(indptr, indices, m.num_vertices, *own, marks)
    halo.append(outside)
    yield f"{side}/indices: below num_vertices", in_range
    if m.events is None:
        yield f"{side}/indices: ascending within a row", ascending


def _mark_originals(store: ShardStore, s: int, original: np.ndarray, seen: np.ndarray) -> None:
    """Every row of the graph store is in one shard: mark those of shard s in the bits `seen`."""
    num_vertices = store.manifest.num_vertices
    good = bool(((original >= 0) & (original < num_vertices)).all())
    if good:
        good = mark_bits(original, seen) == len(original)
    if not good:
        raise StoreError(
            f"{store.shard_path(s)}: vertex/original_id: rows of the graph store, each once, does "
            f"not hold. {RESTORE}"
        )
