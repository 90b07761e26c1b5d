"""Worker of the whole-graph comparison: PyG, `peers_whole_pyg.py csr|tensor TASK`.

`csr`: torch's own sparse matrices; `tensor`: the SparseTensor of torch-sparse. Both take PyG's
message_and_aggregate, which makes no message of each edge.
"""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from peers_whole_torch import train_whole
from peers_worker import WholeTask
from torch import nn
from torch_geometric.nn import GCNConv, SAGEConv


class Model(nn.Module):
    """Layers of one kind with ReLU between; the adjacency matrix is the same for all."""

    def __init__(self, task: WholeTask, adj_t, widths: list[int]):
        super().__init__()
        self.adj_t = adj_t
        make = {
            "gcn": lambda a, b: GCNConv(a, b, cached=True),
            "sage": lambda a, b: SAGEConv(a, b, "mean"),
        }[task.model]
        self.layers = nn.ModuleList(make(a, b) for a, b in pairwise(widths))

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x, self.adj_t))
        return self.layers[-1](x, self.adj_t)


def adjacency(kind: str, indptr: torch.Tensor, indices: torch.Tensor):
    """The transposed adjacency matrix, of unit weights."""
    size = (len(indptr) - 1,) * 2
    if kind == "tensor":
        from torch_sparse import SparseTensor

        return SparseTensor(rowptr=indptr, col=indices.long(), sparse_sizes=size, is_sorted=True)
    return torch.sparse_csr_tensor(indptr, indices.long(), torch.ones(len(indices)), size)


def main() -> None:
    """Load the graph and train on command."""
    task = WholeTask.from_arguments()
    torch.set_num_threads(task.threads)
    arrays = {p.stem: torch.from_numpy(np.load(p)) for p in Path(task.graph).glob("*.npy")}
    adj_t = adjacency(sys.argv[1], arrays.pop("indptr"), arrays.pop("indices"))
    widths = task.widths(arrays["features"].shape[1], int(arrays["label"].max()) + 1)
    train_whole(Model(task, adj_t, widths), arrays, task)


if __name__ == "__main__":
    main()
