"""Graph parallelism: every rank aggregates for its own vertices, and fetches remote rows."""

import numpy as np

from batchgnn.comm.courier import Courier
from batchgnn.comm.exchange import ArrayRows, RowExchange
from batchgnn.comm.grid import Grid, Ranks
from batchgnn.graph.block import Block
from batchgnn.kernels.half import dtype_name
from batchgnn.modes.options import Halo, Messages, Wire
from batchgnn.modes.share import Share
from batchgnn.modes.whole.mode import WholeGraph
from batchgnn.nn.operator import Aggregation, InputOperator
from batchgnn.operators.cached import KeptOperator
from batchgnn.operators.cover import choose_rows
from batchgnn.operators.halo import HaloOperator
from batchgnn.sampling.in_edges import InEdges
from batchgnn.sampling.kept_inputs import keep_inputs
from batchgnn.sampling.options import KeptInputs
from batchgnn.store.halo_cover import Cover, cut_of, keep_cover, read_cover
from batchgnn.store.own_shards import OwnShards


def halo_graph(share: Share) -> WholeGraph:
    """Halo operators, the first layer's aggregation kept where it may be; collective.

    The halo travels on `grid.background` with overlap.
    """
    grid, own, model = share.grid, share.own, share.model
    kept, overlap = share.settings[KeptInputs], bool(share.settings[Messages].overlap)
    dtype, kind = model.parameters.buffer.dtype, model.aggregation
    remarks = list(filter(None, [own.rounded_features]))
    cover, wire = share.settings[Halo].covers, share.settings.get(Wire) or Wire()
    A = halo_operator(grid, own, kind, overlap=overlap, cover=cover, wire=wire.bits)
    remarks += wire.remarks
    first: InputOperator = A
    if not kept.is_kept or kept.aggregate_cache is None:
        x = share.input_rows()
    else:
        keep = kept.aggregate_cache
        column = keep_inputs(grid.world, own, kind, keep=keep, show=share.is_first)
        aggregated = column.at(np.arange(own.num_own))
        features = own.features.at(np.arange(own.num_own))
        first = KeptOperator(own.ids, kind, aggregated, features, A, dtype)
        x = np.empty((own.num_own, 0), dtype)
        if own.feature_dtype != np.float32:
            remarks.append(f"inputs aggregated to {dtype_name(own.feature_dtype)}")
    operators = [first, *[A] * (model.num_layers - 1)]
    return WholeGraph(operators, x, remarks, {"halo_rows": A.num_halo})


def halo_operator(
    grid: Grid | Ranks,
    own: OwnShards,
    aggregation: Aggregation,
    *,
    overlap: bool,
    cover: bool = False,
    wire: np.dtype | None = None,
) -> HaloOperator:
    """The operator of the in-edges of this rank's shards; collective.

    cover: the halo is a minimum vertex cover, kept beside the shards once it is found
    wire: what rows that travel are rounded to
    """
    edges = InEdges(own, grid.size)
    comm = grid.background if overlap else grid.world
    rows = own.ownership.local_rows(edges.remote)
    exchange = RowExchange(comm, rows, edges.counts, "halo")
    far_scale = None
    if aggregation == "gcn":
        far_scale = exchange.forward(ArrayRows(own.gcn_scale[:, None]))[:, 0]
    block = edges.block(far_scale)
    return HaloOperator(
        grid.world,
        block,
        aggregation,
        exchange,
        Courier(enabled=overlap and grid.size > 1),
        num_vertices=own.ownership.num_vertices,
        symmetric=not own.manifest.directed,
        chosen=_chosen(own, block, edges.counts) if cover and grid.size > 1 else None,
        wire=wire,
    )


def _chosen(own: OwnShards, block: Block, counts: np.ndarray) -> np.ndarray:
    """Which rows of the halo travel, as it was found before, or is found now."""
    cut = cut_of(own.manifest, own.ownership.rank_of_shard)
    found = read_cover(own.path, cut, own.rank, int(counts.sum()))
    if found is None:
        found = Cover(*choose_rows(block, counts))
        keep_cover(own.path, cut, own.rank, found)
    return found.chosen
