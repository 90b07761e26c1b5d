"""The model of the comparison in torch and DGL: SAGE-mean layers, ReLU between, no dropout."""

from itertools import pairwise

import torch
from dgl.nn import SAGEConv
from torch import nn


class Sage(nn.Module):
    """As `batchgnn train --model sage --dropout 0`: y = x W_self + mean(x_u) W_nbr + b."""

    def __init__(self, num_features: int, hidden: int, num_classes: int, num_layers: int):
        super().__init__()
        widths = [num_features] + [hidden] * (num_layers - 1) + [num_classes]
        self.layers = nn.ModuleList(SAGEConv(a, b, "mean") for a, b in pairwise(widths))

    def forward(self, blocks, x):
        for layer, block in zip(self.layers[:-1], blocks[:-1], strict=True):
            x = torch.relu(layer(block, x))
        return self.layers[-1](blocks[-1], x)
