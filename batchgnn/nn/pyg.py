"""A model's parameters as PyTorch Geometric has them: names, shapes and orientation.

The state loads into a module with `convs`, a ModuleList of SAGEConv, GCNConv, GINConv(Sequential(
Linear, ReLU, Linear)) or GATConv, and, with `--norm layer` or `batch`, `norms`, a ModuleList of
LayerNorm(mode="node") or BatchNorm. GCNII's has GCN2Convs in `convs`, and two Linear in `lins`;
those of decoupled models have Linear in `lins`, and with gat `attention`, one without bias.
"""

import numpy as np

from batchgnn.nn.model import Model


def pyg_state(model: Model) -> dict[str, np.ndarray]:
    """name -> C-contiguous copy of each parameter, and PyG's buffers, with PyG's shapes."""
    state = {name: _as_pyg(name, value) for name, value in model.parameters.items()}
    if model.spec.model == "gin":
        eps = np.zeros(1, model.parameters.buffer.dtype)
        state |= {f"convs.{n}.eps": eps.copy() for n in range(model.num_layers)}
    if model.spec.norm == "batch":
        names = [name for name in state if name.endswith("running_var")]
        counts = {name.replace("running_var", "num_batches_tracked") for name in names}
        state |= {name: np.zeros((), np.int64) for name in sorted(counts)}
    return state


def _as_pyg(name: str, value: np.ndarray) -> np.ndarray:
    if name.endswith((".att_src", ".att_dst")):
        return value[None].copy()  # (1, heads, width)
    if value.ndim == 2 and not name.endswith(".weight1"):  # GCN2Conv's is (in, out), as here
        return np.ascontiguousarray(value.T)  # (out, in)
    return value.copy()
