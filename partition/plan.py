"""Memory that partitioning needs, before it starts; and the sizes of its chunks.

The stages follow one another, so the need is that of the largest stage. Figures per arc are upper
bounds of measured peaks (README.md has the measurements).
"""

import numpy as np

from batchgnn.base.bytes import MemoryPlan
from batchgnn.partition.cut_graph import cut_graph_bytes
from batchgnn.store.schema import Schema

EDGE_CHUNK = 1 << 20
FEATURE_CHUNK_BYTES = 32 << 20

LIBRARIES = 192 << 20
"Python, NumPy, SciPy, HDF5 and compiled kernels."
METIS_ARC_BYTES, METIS_VERTEX_BYTES = 120, 100
"Peak of METIS k-way: 47 to 109 bytes per arc of the symmetric graph were measured, by its shape."

METIS_ARCS = 16_000_000
"Of a coarsest graph with more arcs, the multilevel method shows METIS the heaviest."
COARSER = 1.0
"""Arcs of all coarser graphs of the multilevel method to those of the finest: 0.3 to 0.8 were
measured."""
MULTILEVEL_VERTEX_BYTES = 64
"Labels, loads and wishes of label propagation, beside the seeds."


def feature_chunk(schema: Schema) -> int:
    """Rows of features that stream through at once."""
    return max(FEATURE_CHUNK_BYTES // vertex_bytes(schema), 1)


def vertex_bytes(schema: Schema) -> int:
    """Bytes of all that streams through with a vertex; features as float32, before rounding."""
    layout = schema.layout(1, 0, 0)
    streamed = ("vertex/label", "vertex/split", "vertex/name")
    return 4 * schema.num_features + sum(
        layout[name][0].itemsize * int(np.prod(layout[name][1]))
        for name in streamed
        if name in layout
    )


def multilevel_plan(schema: Schema, num_edges: int) -> MemoryPlan:
    """Peak of the multilevel cut: making the symmetric graph, or cutting it."""
    n, arcs = schema.num_vertices, 2 * num_edges
    seen = min(arcs, METIS_ARCS)
    beside = {
        "training seeds of all splits": 5 * schema.num_splits * n,
        "libraries": LIBRARIES,
    }
    making = {"the symmetric graph in the making": cut_graph_bytes(n, num_edges)}
    cutting = {
        "the graph, symmetric": 4 * arcs + 12 * n,
        "coarser graphs": int(8 * COARSER * arcs),
        "METIS on the coarsest": METIS_ARC_BYTES * seen + METIS_VERTEX_BYTES * min(n, seen),
        "label propagation": MULTILEVEL_VERTEX_BYTES * n,
    }
    return MemoryPlan(max(making, cutting, key=lambda parts: sum(parts.values())) | beside)


def cut_plan(schema: Schema, num_edges: int) -> MemoryPlan:
    """Peak of the cut by METIS of the whole graph; num_edges as stored, each once."""
    n, arcs = schema.num_vertices, 2 * num_edges
    return MemoryPlan(
        {
            "the graph, symmetric, for METIS": 4 * arcs + 8 * n,
            "METIS itself": METIS_ARC_BYTES * arcs + METIS_VERTEX_BYTES * n,
            "training seeds of all splits": 3 * schema.num_splits * n,
            "libraries": LIBRARIES,
        }
    )


def write_plan(schema: Schema, num_edges: int, num_shards: int) -> MemoryPlan:
    """Peak of the writing, when no shard has more than 1.5 times the mean number of arcs."""
    arcs = num_edges if schema.directed else 2 * num_edges
    largest = min(arcs, int(1.5 * arcs / num_shards) + 1)
    return sort_plan(schema, largest)


def sort_plan(schema: Schema, largest: int) -> MemoryPlan:
    """Peak of the writing, when the fullest shard has `largest` arcs on one side."""
    n, ident = schema.num_vertices, schema.id_dtype.itemsize
    arc_bytes = 16 + 2 * ident + 20 * schema.weighted + 24 * (schema.events is not None)
    rows = min(feature_chunk(schema), n)
    return MemoryPlan(
        {
            "numbering of the vertices": (8 + ident + 4 + 16 + 4) * n,
            "arcs of the largest shard": arc_bytes * largest,
            "chunks of edges and features": 96 * EDGE_CHUNK + 3 * rows * vertex_bytes(schema),
            "libraries": LIBRARIES,
        }
    )


def disk_bytes(schema: Schema, num_edges: int, num_shards: int, held_out: int = 0) -> int:
    """Bytes of the shards and of the raw files beside them while they are written.

    num_edges, held_out: edges of the topology, and those that are no part of it
    """
    n, ident = schema.num_vertices, schema.id_dtype.itemsize
    arcs = num_edges if schema.directed else 2 * num_edges
    has_events = schema.events is not None
    held_arcs = held_out if schema.directed else 2 * held_out
    layout = schema.layout(n, arcs, arcs, num_edges * has_events, (held_arcs, 0))
    stored = sum(dtype.itemsize * int(np.prod(shape)) for dtype, shape in layout.values())
    raw = (2 * ident + 4 * schema.weighted + 8 * has_events) * arcs * (1 + schema.directed)
    raw += 2 * ident * held_arcs
    return stored + raw + 8192 * num_shards
