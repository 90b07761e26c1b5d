"""Worker of the whole-graph comparison: DGL 2.1, with the ids that its products work with."""

from itertools import pairwise
from pathlib import Path

import dgl
import numpy as np
import torch
from dgl.nn import GraphConv, SAGEConv
from peers_whole_torch import train_whole
from peers_worker import WholeTask
from torch import nn


class Model(nn.Module):
    """Layers of one kind with ReLU between; the graph is the same for all."""

    def __init__(self, task: WholeTask, graph, widths: list[int]):
        super().__init__()
        self.graph = graph
        make = {"gcn": GraphConv, "sage": lambda a, b: SAGEConv(a, b, "mean")}[task.model]
        self.layers = nn.ModuleList(make(a, b) for a, b in pairwise(widths))

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = torch.relu(layer(self.graph, x))
        return self.layers[-1](self.graph, x)


def main() -> None:
    """Load the graph and train on command."""
    task = WholeTask.from_arguments()
    torch.set_num_threads(task.threads)
    arrays = {p.stem: torch.from_numpy(np.load(p)) for p in Path(task.graph).glob("*.npy")}
    csc = arrays.pop("indptr"), arrays.pop("indices").long(), torch.empty(0, dtype=torch.int64)
    graph = dgl.graph(("csc", csc), num_nodes=len(arrays["label"]))
    if task.model == "gcn":
        graph = dgl.add_self_loop(graph)
    graph = graph.formats(["csr", "csc"])
    graph.create_formats_()
    widths = task.widths(arrays["features"].shape[1], int(arrays["label"].max()) + 1)
    train_whole(Model(task, graph, widths), arrays, task)


if __name__ == "__main__":
    main()
