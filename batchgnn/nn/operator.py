"""What a layer asks of a graph operator A: products with its neighbours, wherever they live.

A has the shape (num_targets, num_sources) and holds what its *aggregation* says: "mean" 1/drawn;
"sum" degree/drawn; "gcn" c_v c_u w degree/drawn, and c_v^2 on the vertex itself; "attention" what a
softmax makes of two scores of each edge, so that it is asked by `attend` alone.
"""

from typing import Any, Literal, Protocol, TypeGuard, runtime_checkable

import numpy as np

from batchgnn.kernels.rows import Rows
from batchgnn.nn.dropout import Dropout

Aggregation = Literal["mean", "sum", "gcn", "attention"]
Matrix = np.ndarray | Rows
"Input of a layer: a matrix, or the rows of one by their addresses."
Saved = Any
"What a forward method hands to its own backward or adjoint, and nobody else reads."


class InputOperator(Protocol):
    """What a first layer needs: products with the input features, which have no gradient.

    only_inputs  it has no more than this: A x is there for the input features alone
    num_targets, num_sources  of the whole graph, on every rank, where it is dealt to the ranks
    source_ids, target_ids    uint32/uint64: global ids of the rows at hand, the keys of dropout
    """

    only_inputs: bool
    num_targets: int
    num_sources: int
    source_ids: np.ndarray
    target_ids: np.ndarray

    def prepare(self, adjoint: bool) -> None:
        """Build now what gathering needs, and its adjoint."""

    def gather(self, x: Matrix) -> np.ndarray:
        """A x: (sources, d) -> (targets, d)."""

    def gather_self(self, x: Matrix) -> np.ndarray:
        """A x + x_targets: (sources, d) -> (targets, d)."""

    def gather_beside(self, x: Matrix) -> np.ndarray:
        """[A x | x_targets]: (sources, d) -> (targets, 2 d)."""

    def total(self, sums: np.ndarray) -> np.ndarray:
        """Sums over the targets at hand, added up over the ranks that hold some, maybe in place."""


class Operator(InputOperator, Protocol):
    """What every other layer needs: the products' adjoints, attention, and the targets' rows."""

    def gather_adjoint(self, dh: np.ndarray) -> np.ndarray:
        """A^T dh: (targets, d) -> (sources, d)."""

    def gather_self_adjoint(self, dh: np.ndarray) -> np.ndarray:
        """The adjoint of `gather_self`: (targets, d) -> (sources, d)."""

    def gather_beside_adjoint(self, dboth: np.ndarray) -> np.ndarray:
        """The adjoint of `gather_beside`: (targets, 2 d) -> (sources, d)."""

    def attend(
        self, z: np.ndarray, s_src: np.ndarray, s_dst: np.ndarray, dropout: Dropout
    ) -> tuple[np.ndarray, Saved]:
        """h_v = sum over u of softmax_u(leaky(s_src[u] + s_dst[v])) z_u, each head on its own.

        z (sources, heads, width), s_src (sources, heads), s_dst (targets, heads); dropout: of the
        coefficients. Returns h (targets, heads, width), and what the adjoint needs.
        """

    def attend_adjoint(
        self, dh: np.ndarray, saved: Saved
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The gradients of z, s_src and s_dst from that of h."""

    def targets(self, x: Matrix) -> np.ndarray:
        """The rows of x that are targets: a view where possible."""

    def add_targets(self, dx: np.ndarray, dx_targets: np.ndarray) -> None:
        """The adjoint of `targets`: dx[targets] += dx_targets."""


@runtime_checkable
class PropagatingOperator(Operator, Protocol):
    """What a decoupled model needs: product after product, sources and targets the same rows."""

    def propagate(self, z: np.ndarray, rounds: int) -> np.ndarray:
        """A^rounds z: (n, d) -> (n, d)."""

    def propagate_adjoint(self, dy: np.ndarray, rounds: int) -> np.ndarray:
        """The adjoint of `propagate`."""

    def attend_rounds(
        self, z: np.ndarray, scores: np.ndarray, dropout: Dropout, rounds: int
    ) -> tuple[np.ndarray, Saved]:
        """A^rounds z, where A[v, u] = softmax over u of leaky(scores[u, 0] + scores[v, 1]).

        z (n, d), scores (n, 2); dropout: of A's elements, the same ones in all rounds.
        """

    def attend_rounds_adjoint(self, dh: np.ndarray, saved: Saved) -> tuple[np.ndarray, np.ndarray]:
        """The gradients of z and of the scores from that of the result."""


def has_adjoint(A: InputOperator) -> TypeGuard[Operator]:
    """Whether A is more than the operator of a first layer."""
    return not A.only_inputs


def with_adjoint(A: InputOperator) -> Operator:
    """A itself; TypeError where it is the operator of a first layer alone."""
    if not has_adjoint(A):
        raise TypeError(f"{type(A).__name__} has products with the input features alone")
    return A


def propagating(A: InputOperator) -> PropagatingOperator:
    """A itself; TypeError where it has no rounds of products."""
    if not isinstance(A, PropagatingOperator):
        raise TypeError(f"{type(A).__name__} has no rounds of products: a decoupled model needs it")
    return A
