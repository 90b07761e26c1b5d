"""What a manifest says of itself must hold together, or what reads it would go out of bounds."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from batchgnn.kernels.half import FEATURE_DTYPES
from batchgnn.store.labels import EVENTS, LINKS, REGRESSION, TASKS

if TYPE_CHECKING:
    from batchgnn.store.shard_store import Manifest


def claims_of(m: "Manifest") -> Iterator[tuple[str, bool]]:
    """(claim, whether it holds): what a manifest says of itself, each on those before it."""
    shards, names = m.num_shards, len(m.checksum_dataset)
    kinds = [np.dtype(kind) for kind in FEATURE_DTYPES.values()]
    tasks = (*TASKS, EVENTS, LINKS)
    yield "task: one of " + ", ".join(tasks), m.task in tasks
    yield "options: names and values", isinstance(m.options, dict)
    yield "num_features: 0 to 2^31", 0 <= m.num_features < 2**31
    yield "feature_dtype: one of " + ", ".join(FEATURE_DTYPES), m.feature_dtype in kinds
    yield "num_classes: at least 0, of regression 1", m.num_classes >= (m.task == REGRESSION)
    yield "events: of a stream of events alone", (m.events is not None) == (m.task == EVENTS)
    yield "links: of shards whose edges are split", (m.links is not None) == (m.task == LINKS)
    yield "shard/offset: a number more than shards", m.offset.ndim == 1 and shards > 0
    yield (
        "shard/offset: from 0 to num_vertices, ascending",
        m.offset[0] == 0 and m.offset[-1] == m.num_vertices and bool((m.shard_vertices >= 0).all()),
    )
    yield (
        "shard/num_edges: of each shard, adds up to num_edges",
        m.shard_edges.shape == (shards,)
        and bool((m.shard_edges >= 0).all())
        and m.shard_edges.sum() == m.num_edges,
    )
    yield (
        "shard/num_seeds: a row per shard, a column per split, at most what there is",
        m.num_seeds.shape == (shards, m.num_splits)
        and bool(((m.num_seeds >= 0) & (m.num_seeds <= _most_seeds(m)[:, None])).all()),
    )
    if m.links is not None:
        is_pair = m.num_links.shape == (shards, 2)
        yield "shard/num_links: of validation and test", is_pair and bool((m.num_links >= 0).all())
    yield (
        "shard/num_halo: adds up to halo_factor",
        m.num_halo.shape == (shards,)
        and bool(np.isclose(m.num_halo.sum() / m.num_vertices, m.halo_factor)),
    )
    yield (
        "degree/count: of every vertex, arc and seed",
        m.degree_count.shape == (3 + m.num_splits, 0) or _adds_up(m),
    )
    yield (
        "class/name: UTF-8, one for each class, or none",
        m.class_name.shape in ((0,), (m.num_classes,)) and _are_texts(m.class_name),
    )
    ends = m.quotient_indptr
    yield (
        "quotient: CSR of every shard",
        ends.shape == (shards + 1,)
        and ends[0] == 0
        and bool((np.diff(ends) >= 0).all())
        and m.quotient_indices.shape == m.quotient_weight.shape == (ends[-1],),
    )
    inside = (m.quotient_indices >= 0) & (m.quotient_indices < shards)
    yield "quotient/indices: shards", bool(inside.all() and (m.quotient_weight > 0).all())
    yield "checksum: a row per shard, a column per dataset", m.checksum.shape == (shards, names)
    yield (
        "shard/place, shard/fold: of every dataset",
        m.place.shape == (shards, names + 1, 2) and m.fold.shape == (shards, names + 1),
    )
    yield "shard/place: sizes that follow from the counts", _sizes_follow(m)


def _adds_up(m: "Manifest") -> bool:
    vertices, arcs, seeds = m.num_vertices, m.num_edges, m.num_seeds.sum(axis=0)
    expected = [vertices, vertices, arcs, *(seeds * (m.task in TASKS))]
    total = m.degree_count.sum(axis=1).tolist()
    return total == expected and bool((m.degree_count >= 0).all())


def _sizes_follow(m: "Manifest") -> bool:
    """Whether each dataset has as many bytes as its shard's vertices and arcs need."""
    names = [name.decode() for name in m.checksum_dataset]
    counts = zip(m.shard_vertices.tolist(), m.shard_edges.tolist(), strict=True)
    for s, ((n, m_in), places) in enumerate(zip(counts, m.place, strict=True)):
        found = dict(zip(names, places[:-1, 1].tolist(), strict=True))
        m_out, run = found.get("out/indices", 0) // m.id_dtype.itemsize, m.event_run(s)
        layout = m.layout(n, m_in, m_out, run.stop - run.start, m.held_out(s))
        if found != {k: kind.itemsize * math.prod(shape) for k, (kind, shape) in layout.items()}:
            return False
    return True


def _most_seeds(m: "Manifest") -> np.ndarray:
    """int64 (K,): what a shard has that may be trained on, vertices, events or edges."""
    if m.links is not None:
        return np.full(m.num_shards, m.num_edges)
    if m.events is None:
        return m.shard_vertices
    return np.diff([m.event_run(s).start for s in range(m.num_shards)], append=m.events.num_events)


def _are_texts(names: np.ndarray) -> bool:
    try:
        return names.dtype.kind == "S" and all(name.decode() is not None for name in names)
    except UnicodeDecodeError:
        return False
