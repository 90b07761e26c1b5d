"""Workers of the comparison in one process of DGL 2.1: `peers_dgl.py dgl|graphbolt TASK`.

Seeds are vertices; of edges peers_dgl_links.py has the batches and the loss.

`dgl`: NeighborSampler and DataLoader; `graphbolt`: its successor. Both list fanouts from the input
side, and sample every frontier vertex anew at each hop, its targets included, as BatchGNN does.
Settings are the fastest that work: ids are int64, because with int32 DGL's SpMM (libxsmm) crashes
on this CPU, without libxsmm it is slower, and GraphBolt samples at a third of the speed; sampling
in the process that trains; the graph as CSC only; features by torch.index_select.
"""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import dgl
import numpy as np
import torch
from peers_dgl_links import link_batches, link_loss
from peers_torch import Sage
from peers_worker import Tally, Task, serve
from torch.nn.functional import cross_entropy


def main() -> None:
    """Load the graph and train on command."""
    task = Task.from_arguments()
    torch.set_num_threads(task.threads)
    graph = {p.stem: torch.from_numpy(np.load(p)) for p in Path(task.graph).glob("*.npy")}
    engines = {"dgl": link_batches if task.links else dgl_batches, "graphbolt": graphbolt_batches}
    batches = engines[sys.argv[1]](graph, task)
    features, label = graph["features"], graph["label"]
    width = task.hidden if task.links else int(label.max()) + 1
    model = Sage(features.shape[1], task.hidden, width, len(task.fanouts))
    optimizer = torch.optim.Adam(model.parameters(), lr=task.learning_rate)

    def train(steps: int, tally: Tally) -> None:
        for _ in range(steps):
            with tally.phase("sample"):
                inputs, seeds, blocks = next(batches)
            tally.add(edges=sum(b.num_edges() for b in blocks), input_rows=len(inputs))
            with tally.phase("gather"):
                x = features.index_select(0, inputs)
                y = seeds if task.links else label.index_select(0, seeds)
            with tally.phase("forward"):
                rows = model(blocks, x)
                loss = link_loss(rows, y) if task.links else cross_entropy(rows, y)
            with tally.phase("backward"):
                optimizer.zero_grad()
                loss.backward()
            with tally.phase("update"):
                optimizer.step()
            tally.add(loss=loss.item(), num_seeds=task.batch)

    serve(train)


def dgl_batches(graph: dict[str, torch.Tensor], task: Task) -> Iterator[tuple]:
    """Endless (input ids, seeds, blocks) of DGL's DataLoader."""

    csc = graph["indptr"], graph["indices"].long(), torch.empty(0, dtype=torch.int64)
    g = dgl.graph(("csc", csc), num_nodes=len(graph["label"])).formats("csc")
    loader = dgl.dataloading.DataLoader(
        g,
        graph["train"],
        dgl.dataloading.NeighborSampler(task.fanouts[::-1]),
        batch_size=task.batch,
        shuffle=True,
        drop_last=True,
        num_workers=task.num_workers,
        persistent_workers=task.num_workers > 0,
    )
    return itertools.chain.from_iterable(itertools.repeat(loader))


def graphbolt_batches(graph: dict[str, torch.Tensor], task: Task) -> Iterator[tuple]:
    """Endless (input ids, seeds, blocks) of GraphBolt's DataLoader."""
    import dgl.graphbolt as gb

    csc = gb.fused_csc_sampling_graph(graph["indptr"], graph["indices"].long())
    seeds = gb.ItemSet(graph["train"], names="seed_nodes")
    pipe = gb.ItemSampler(seeds, batch_size=task.batch, shuffle=True, drop_last=True)
    pipe = pipe.sample_neighbor(csc, task.fanouts[::-1])
    loader = gb.DataLoader(pipe, num_workers=task.num_workers)
    for minibatch in itertools.chain.from_iterable(itertools.repeat(loader)):
        yield minibatch.input_nodes, minibatch.seed_nodes, minibatch.blocks


if __name__ == "__main__":
    main()
