"""BatchGNN: graph neural networks trained on CPU clusters, over MPI.

Importing this package starts neither MPI nor the JIT compiler: what it offers is loaded when it is
first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchgnn.api.graph import Graph as Graph
    from batchgnn.api.graph import write_graph as write_graph
    from batchgnn.api.guests import from_networkx as from_networkx
    from batchgnn.api.guests import from_pandas as from_pandas
    from batchgnn.api.guests import from_pyg as from_pyg
    from batchgnn.api.guests import from_scipy as from_scipy
    from batchgnn.api.run import Run as Run
    from batchgnn.api.training import prepare as prepare
    from batchgnn.api.training import train as train
    from batchgnn.base.errors import BatchGNNError as BatchGNNError

__version__ = "0.1.0"

PUBLIC = {
    "BatchGNNError": "base.errors",
    "Graph": "api.graph",
    "Run": "api.run",
    "from_networkx": "api.guests",
    "from_pandas": "api.guests",
    "from_pyg": "api.guests",
    "from_scipy": "api.guests",
    "prepare": "api.training",
    "train": "api.training",
    "write_graph": "api.graph",
}
"Name: its module."

__all__ = [
    "BatchGNNError",
    "Graph",
    "Run",
    "from_networkx",
    "from_pandas",
    "from_pyg",
    "from_scipy",
    "prepare",
    "train",
    "write_graph",
]


def __getattr__(name: str) -> Any:
    """A public name, whose module is loaded now."""
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"batchgnn.{PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *PUBLIC})
