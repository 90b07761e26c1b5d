"""Minibatches of edges, and their loss, in DGL 2.1: `as_edge_prediction_sampler`.

Each edge of an undirected graph is a seed once, beside one negative of the same source whose target
is uniform over all vertices; the seeds and their reverses carry no message in their step.
"""

import itertools
from collections.abc import Iterator

import dgl
import torch
from peers_worker import Task
from torch.nn.functional import binary_cross_entropy_with_logits


def link_batches(graph: dict[str, torch.Tensor], task: Task) -> Iterator[tuple]:
    """Endless (input ids, (positive, negative graph), blocks) of DGL's DataLoader."""
    indptr, source = graph["indptr"], graph["indices"].long()
    num_vertices = len(indptr) - 1
    csc = indptr, source, torch.empty(0, dtype=torch.int64)
    g = dgl.graph(("csc", csc), num_nodes=num_vertices).formats(["coo", "csc"])
    target = torch.repeat_interleave(torch.arange(num_vertices), indptr.diff())
    sampler = dgl.dataloading.as_edge_prediction_sampler(
        dgl.dataloading.NeighborSampler(task.fanouts[::-1]),
        exclude="reverse_id",
        reverse_eids=reverse_ids(source, target, num_vertices),
        negative_sampler=dgl.dataloading.negative_sampler.Uniform(1),
    )
    loader = dgl.dataloading.DataLoader(
        g, torch.nonzero(source < target).ravel(), sampler, batch_size=task.batch, shuffle=True,
        drop_last=True, num_workers=task.num_workers,
    )  # fmt: skip
    for inputs, *pairs, blocks in itertools.chain.from_iterable(itertools.repeat(loader)):
        yield inputs, pairs, blocks


def reverse_ids(source: torch.Tensor, target: torch.Tensor, num_vertices: int) -> torch.Tensor:
    """int64 (m,): the id of each edge's reverse, of a symmetric graph without parallel edges."""
    forward, backward = (source * num_vertices + target).sort(), target * num_vertices + source
    return forward.indices[torch.searchsorted(forward.values, backward)]


def link_loss(rows: torch.Tensor, pairs: list[dgl.DGLGraph]) -> torch.Tensor:
    """The sum over an edge's two logits, products of rows; the mean over the edges."""
    logits = [(rows[u] * rows[v]).sum(1) for u, v in (each.edges() for each in pairs)]
    labels = torch.cat([torch.ones_like(logits[0]), torch.zeros_like(logits[1])])
    loss = binary_cross_entropy_with_logits(torch.cat(logits), labels, reduction="sum")
    return loss / len(logits[0])
