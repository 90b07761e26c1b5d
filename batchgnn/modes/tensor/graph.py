"""Tensor parallelism: rows dealt evenly, all edges walked by every rank on its own columns.

The loop is that of every whole-graph mode (`modes/whole`); here are its operators.
From NeutronTP (Ai et al., VLDB 2025), with exact GraphSAGE, GCN, GIN and GAT.
"""

import mmap

import numpy as np

from batchgnn.comm.columns import ColumnExchange
from batchgnn.comm.courier import Courier
from batchgnn.comm.exchange import allreduce_max
from batchgnn.graph.cut_rows import cut_rows, even_bounds, group_shards
from batchgnn.graph.ownership import Ownership
from batchgnn.kernels.walk import loop_weights
from batchgnn.modes.deal import Dealt
from batchgnn.modes.options import Halo, Messages, Wire
from batchgnn.modes.share import Share
from batchgnn.modes.tensor.memory import is_frugal, walk_chunks
from batchgnn.modes.tensor.options import Slices
from batchgnn.modes.whole.halo_graph import halo_operator
from batchgnn.modes.whole.mode import WholeGraph
from batchgnn.nn.model import Model
from batchgnn.nn.models import MODELS
from batchgnn.nn.operator import InputOperator
from batchgnn.operators.cached import KeptOperator
from batchgnn.operators.gridded import GridOperator
from batchgnn.operators.propagated import PropagatedOperator
from batchgnn.operators.sliced import SlicedOperator, scales_of
from batchgnn.operators.walk import Walk
from batchgnn.sampling.options import KeptInputs
from batchgnn.settings.settings import Settings
from batchgnn.store.edges import MappedEdges, advise
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.row_pieces import RowPieces
from batchgnn.store.shard_store import ShardStore

MESSAGE_BYTES = 1 << 20
"Of a chunk's results for one rank, with --chunks auto."
MOST_AUTO_CHUNKS = 64
"With --chunks auto, unless the memory asks for more."
NARROW = 8


def tensor_rows(store: ShardStore, num_ranks: int, settings: Settings) -> Dealt:
    """The vertices of each part of the shards in equal numbers to the ranks of a group.

    Rank g x ways + t is the t-th of group g. Raises ConfigError when ranks do not make groups.
    """
    ways = settings[Slices].tensor_ways
    parts = group_shards(store.manifest, num_ranks, ways, store.path)
    cut = cut_rows(store.manifest.offset, parts, ways or num_ranks)
    return Dealt(cut.ownership, lambda staged: RowPieces(staged, cut), every_shard=True)


def tensor_graph(share: Share) -> WholeGraph:
    """Sliced operators; the first layer's aggregation kept where it may be. Collective.

    Slices travel on `grid.background` with overlap.
    """
    own, model = share.own, share.model
    A = make_operator(share)
    remarks = list(filter(None, [own.rounded_features])) + share.settings[Wire].remarks
    propagates = is_propagated(model)
    sliced = model.widths[-1:] if propagates else model.widths[1:-1] or model.widths[1:]
    warn_of_narrow_slices(sliced, A.num_ranks, share.grid.rank)
    x = share.input_rows()
    if A.walk.frugal and not own.copied_feature_bytes:
        for part in own.features.parts:
            advise(part, mmap.MADV_DONTNEED)
    operators: list[InputOperator] = [A] * model.num_layers
    if propagates:
        remarks.append(f"decoupled: an MLP, then {model.num_layers} propagations")
    if share.settings[KeptInputs].is_kept:
        operators[0] = KeptOperator.of(A, model.aggregation, x)
        x = np.empty((own.num_own, 0), x.dtype)
    return WholeGraph(operators, x, remarks, {})


def is_propagated(model: Model) -> bool:
    """Whether the model's operator propagates, and is no layer's."""
    return MODELS[model.spec.model].propagates


def make_operator(share: Share) -> SlicedOperator:
    """The operator of all layers: sliced, or of the grid with --tensor-ways; collective."""
    ways = share.settings[Slices].tensor_ways
    if ways is None or ways == share.grid.size:
        return sliced_operator(share)
    return grid_operator(share, ways)


def grid_operator(share: Share, ways: int) -> GridOperator:
    """The operator of parts by rows and groups by columns; collective."""
    grid, own, overlap = share.grid, share.own, bool(share.settings[Messages].overlap)
    group, way = divmod(grid.rank, ways)
    beside, within = grid.some(way), grid.some(group)
    parts = group_shards(own.manifest, grid.size, ways, own.path)
    part = OwnShards(own.whole, Ownership(own.manifest.offset, parts), group)
    cover, wire = share.settings[Halo].covers, share.settings[Wire].bits
    kind = share.model.aggregation
    inner = halo_operator(beside, part, kind, overlap=overlap, cover=cover, wire=wire)
    inner.courier = Courier(enabled=overlap)
    exchange = ColumnExchange(within.background if overlap else within.world)
    bounds = even_bounds(part.num_own, ways)
    return GridOperator(grid.world, exchange, inner, bounds, own.ids)


def sliced_operator(share: Share) -> SlicedOperator:
    """The operator of all edges, walked where they lie in the shards; collective."""
    grid, own, model = share.grid, share.own, share.model
    overlap = bool(share.settings[Messages].overlap)
    store, manifest, aggregation = own.whole, own.manifest, model.aggregation
    weighted = manifest.weighted and aggregation == "gcn"
    edges = MappedEdges(store, side="in", weighted=weighted)
    said, frugal = share.settings[Slices].chunks, is_frugal(share.extent())
    num_chunks = 0 if said == "auto" else said
    if said == "auto":
        num_chunks = auto_chunks(model.widths, manifest.num_vertices, grid.size, overlap)
        if frugal:
            num_chunks = max(num_chunks, walk_chunks(manifest))
        num_chunks = allreduce_max(grid.world, num_chunks, "chunks")
    bounds = own_bounds(own, grid.size)
    walk = back = Walk(edges, bounds, num_chunks, frugal=frugal)
    if manifest.directed:
        out_edges = MappedEdges(store, side="out", weighted=weighted)
        back = Walk(out_edges, bounds, num_chunks, frugal=frugal)
    scales = scales_of(aggregation, own.degree_in, weighted=weighted)
    if aggregation == "gcn":
        loop = 1 if own.gcn_loop is None else own.gcn_loop
        loops = loop - own_loops(walk, grid.rank)
        scales = scales_of(aggregation, own.degree_in, own.gcn_scale, loops, weighted=weighted)
    comm = grid.background if overlap else grid.world
    courier = Courier(enabled=overlap and grid.size > 1)
    make = PropagatedOperator if is_propagated(model) else SlicedOperator
    wire = share.settings[Wire].bits
    return make(grid.world, ColumnExchange(comm), courier, walk, back, own.ids, scales, wire)


def own_bounds(own: OwnShards, num_ranks: int) -> np.ndarray:
    """int64 (P + 1,): the ids of rank p are bounds[p] : bounds[p + 1]."""
    counts = [own.ownership.num_own(rank) for rank in range(num_ranks)]
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def own_loops(walk: Walk, rank: int) -> np.ndarray:
    """float64 (num_own,): total weight of the self-loops of each own vertex."""
    first, end = walk.row_bounds[rank : rank + 2]
    out = np.zeros(end - first)
    for run in walk.own_runs(rank):
        at = run.first - first
        part = out[at : at + len(run.indptr) - 1]
        loop_weights(run, part)
    return out


def auto_chunks(widths: list[int], num_vertices: int, num_ranks: int, overlap: bool) -> int:
    """So many that the results of a chunk are messages of about MESSAGE_BYTES; 1 without any."""
    if num_ranks == 1 or not overlap:
        return 1
    message = 4 * (num_vertices // num_ranks) * -(-max(widths[1:]) // num_ranks)
    return min(MOST_AUTO_CHUNKS, max(1, round(message / MESSAGE_BYTES)))


def warn_of_narrow_slices(widths: list[int], ways: int, rank: int) -> None:
    """Say so where a rank multiplies by so few columns that reading the edges takes longer."""
    if rank == 0 and ways > 1 and min(widths) < NARROW * ways:
        print(
            f"batchgnn: {min(widths)} columns on {ways} ranks are fewer than {NARROW} a rank: "
            "an edge takes as long to read as about 11 columns to multiply; fewer ranks may be as "
            "fast.",
            flush=True,
        )
