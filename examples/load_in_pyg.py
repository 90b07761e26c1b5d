"""A model that `batchgnn export` wrote, as a module of PyTorch Geometric.

    module, about = load("model.safetensors")
    logits = module(x, edge_index)  # x as it was converted; both directions of undirected edges

Needs torch, torch_geometric and safetensors. For the models sage, gcn, gin and gat.
"""

import json
from collections.abc import Mapping

import torch
import torch_geometric.nn as pyg
from safetensors import safe_open
from torch import Tensor, nn


class Stack(nn.Module):
    """Convolutions one behind the other, with a norm and an activation between."""

    def __init__(self, about: Mapping[str, str], state: Mapping[str, Tensor]):
        """Build the layers, and put the weights in."""
        super().__init__()
        self.kind, self.residual = about["model"], about["residual"] == "True"
        widths, heads = json.loads(about["widths"]), int(about["heads"])
        between = widths[1:-1]
        last = len(widths) - 2
        self.convs = nn.ModuleList(
            conv(self.kind, width, widths[n + 1], 1 if n == last else heads)
            for n, width in enumerate(widths[:-1])
        )
        norms = {"layer": lambda width: pyg.LayerNorm(width, mode="node"), "batch": pyg.BatchNorm}
        make = norms.get(about["norm"])
        self.norms = nn.ModuleList([] if make is None else map(make, between))
        self.load_state_dict(state)
        self.eval()

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """Logits (N, classes) of features (N, D)."""
        weights = () if edge_weight is None else (edge_weight,)
        last = len(self.convs) - 1
        for n, layer in enumerate(self.convs):
            y = layer(x, edge_index, *weights)
            if n < last:
                y = self.norms[n](y) if len(self.norms) else y
                y = nn.functional.elu(y) if self.kind == "gat" else torch.relu(y)
            x = y + x if self.residual and 0 < n < last else y
        return x


def conv(kind: str, before: int, after: int, heads: int) -> nn.Module:
    """A layer; of gat, `after` columns over all heads."""
    if kind == "sage":
        return pyg.SAGEConv(before, after)
    if kind == "gcn":
        return pyg.GCNConv(before, after)
    if kind == "gat":
        return pyg.GATConv(before, after // heads, heads)
    if kind == "gin":
        first, second = nn.Linear(before, after), nn.Linear(after, after)
        return pyg.GINConv(nn.Sequential(first, nn.ReLU(), second))
    raise ValueError(f"model {kind}: this example builds sage, gcn, gin and gat")


def load(path: str) -> tuple[Stack, dict[str, str]]:
    """The module, and what the file says of it: model, task, class_names, trained_on, ..."""
    with safe_open(path, "pt") as file:
        about = file.metadata()
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return Stack(about, state), about
