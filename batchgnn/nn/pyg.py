"""A model's parameters as PyTorch Geometric has them: names, shapes and orientation.

The state loads into a module with `convs`, a ModuleList of SAGEConv, GCNConv, GINConv(Sequential(
Linear, ReLU, Linear)) or GATConv, and, with `--norm layer`, `norms`, a ModuleList of
LayerNorm(mode="node").
"""

import numpy as np

from batchgnn.nn.model import Model


def pyg_state(model: Model) -> dict[str, np.ndarray]:
    """name -> C-contiguous copy of each parameter, and PyG's buffers, with PyG's shapes."""
    state = {name: _as_pyg(name, value) for name, value in model.parameters.items()}
    if model.spec.model == "gin":
        eps = np.zeros(1, model.parameters.buffer.dtype)
        state |= {f"convs.{n}.eps": eps.copy() for n in range(model.num_layers)}
    return state


def _as_pyg(name: str, value: np.ndarray) -> np.ndarray:
    if name.endswith((".att_src", ".att_dst")):
        return value[None].copy()  # (1, heads, width)
    if value.ndim == 2:
        return np.ascontiguousarray(value.T)  # (out, in)
    return value.copy()
