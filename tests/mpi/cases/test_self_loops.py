"""GCN where a graph has self-loops: PyG's gcn_norm, written out densely, in every mode."""

from dataclasses import replace

import numpy as np
import pytest
from graphs import learnable_graph, shards_of
from mpi.together import SAMPLED, by_vertex, changed
from mpi4py import MPI

from batchgnn.modes.open import make_mode
from batchgnn.run.session import open_session

BASE = changed(SAMPLED, model="gcn", fanouts=(-1, -1), batch_size=1000, dropout=0.0)
WAYS = {
    "macrobatch": {},
    "node-shared": {"topology": "node-shared"},
    "kept": {"aggregate_cache": "memory"},
    "some kept": {"aggregate_cache": "memory", "aggregate_memory": "2K"},
    "fullgraph": {"mode": "fullgraph"},
    "fullgraph, not kept": {"mode": "fullgraph", "aggregate_cache": "off"},
    "tensor": {"mode": "tensor", "chunks": 3},
    "tensor, not kept": {"mode": "tensor", "aggregate_cache": "off"},
    "grid": {"mode": "tensor", "tensor_ways": 1},
}


def with_loops(weighted):
    """Every third vertex has a loop; without weights some have two, which count as one."""
    graph = learnable_graph(num_vertices=150, directed=weighted)
    loops = np.arange(0, 150, 3)
    twice = loops if weighted else np.concatenate([loops, loops[:9]])
    rng = np.random.default_rng(8)
    more = {} if graph.weight is None else {"weight": rng.uniform(0.2, 3, len(loops))}
    ends = {"source": twice, "target": twice} | more
    both = {n: np.concatenate([getattr(graph, n), v]) for n, v in ends.items()}
    return replace(graph, **{n: v.astype(getattr(graph, n).dtype) for n, v in both.items()})


def gcn_norm(graph):
    """A as PyG has it: add_remaining_self_loops, then D^-1/2 A D^-1/2; float64."""
    source, target, n = graph.source, graph.target, graph.num_vertices
    weight = np.ones(len(source)) if graph.weight is None else graph.weight.astype(np.float64)
    loop, other = np.ones(n), source != target
    loop[source[~other]] = weight[~other]
    A = np.diag(loop)
    np.add.at(A, (target[other], source[other]), weight[other])
    if not graph.directed:
        np.add.at(A, (source[other], target[other]), weight[other])
    scale = 1 / np.sqrt(A.sum(axis=1))
    return scale[:, None] * A * scale


@pytest.fixture(scope="module", params=[False, True], ids=["undirected", "directed weighted"])
def stored(request, shared_folder):
    """The graph and its shards."""
    graph, path = with_loops(request.param), shared_folder / f"shards-{request.param}"
    if MPI.COMM_WORLD.rank == 0:
        shards_of(graph, path)
    MPI.COMM_WORLD.Barrier()
    return graph, path


def logits_of(graph, parameters):
    """Two layers of GCN, densely."""
    A = gcn_norm(graph)
    first, last = (
        [parameters[f"convs.{k}.{name}"].astype(np.float64) for name in ("lin.weight", "bias")]
        for k in (0, 1)
    )
    hidden = np.maximum(A @ graph.features @ first[0] + first[1], 0)
    return A @ hidden @ last[0] + last[1]


@pytest.mark.parametrize("way", WAYS)
def test_a_loop_counts_once_with_its_weight(comm, stored, way):
    """In the exact model, and in a step: the loss of the first one is that of these logits."""
    graph, path = stored
    with open_session(path, changed(BASE, **WAYS[way]), comm) as share:
        expected = logits_of(graph, share.model.parameters)
        mode = make_mode(share)
        found = by_vertex(share, mode.inference().logits())
        for vertex, row in found.items():
            np.testing.assert_allclose(row, expected[vertex], rtol=1e-4, atol=1e-5)
        [step] = mode.epoch(0)
        sums = comm.allreduce(np.array([step.loss_sum, step.num_seeds]))
    seeds = np.flatnonzero((graph.split == 1) & (graph.label >= 0))
    chosen = expected[seeds, graph.label[seeds]]
    losses = np.log(np.exp(expected[seeds]).sum(axis=1)) - chosen
    assert sums[1] == len(seeds)
    np.testing.assert_allclose(sums[0], losses.sum(), rtol=1e-5)
