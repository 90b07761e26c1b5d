"""The convolutions, each written once against a graph operator A (`operator.py`).

`forward(A, x, dropout) -> y, saved` and `backward(dy, saved, grads, need_dx) -> dx or None`; grads
maps the layer's parameter names to views that are overwritten. A layer holds nothing but parameter
views. The bias, which the epilogue adds, is declared here under `bias_name` and used there.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, Protocol, TypeGuard

import numpy as np

from batchgnn.nn.dropout import NO_DROPOUT, Dropout
from batchgnn.nn.epilogue import Activation, Epilogue, SavedEpilogue
from batchgnn.nn.init import Declared, glorot, kaiming, kaiming_bias, zeros
from batchgnn.nn.linear import dense, linear, linear_backward, linear_onto, weight_gradient
from batchgnn.nn.operator import (
    Aggregation,
    InputOperator,
    Matrix,
    Operator,
    Saved,
    has_adjoint,
    with_adjoint,
)
from batchgnn.nn.parameters import stacked

Views = Mapping[str, np.ndarray]
Gradient = np.ndarray | None
"Of a layer's input; None where it is not needed."


class Convolution(Protocol):
    """What `nn.stack` asks of a layer; activation: of a hidden layer's epilogue."""

    aggregation: Aggregation
    bias_name: str
    activation: Activation

    def __init__(self, parameters: Views):
        """parameters: views by the names of `declare`."""

    @staticmethod
    def declare(d_in: int, d_out: int, heads: int = 1) -> dict[str, Declared]:
        """Its parameters, the bias among them."""

    def forward(
        self, A: InputOperator, x: Matrix, dropout: Dropout = NO_DROPOUT
    ) -> tuple[np.ndarray, Saved]:
        """(n_src, d_in) -> (n_dst, d_out), and what backward needs; dropout: of attention."""

    def backward(self, dy: np.ndarray, saved: Saved, grads: Views, need_dx: bool) -> Gradient:
        """(n_dst, d_out) -> (n_src, d_in), or None unless it is needed."""


class Propagated(NamedTuple):
    """What `propagate_backward` needs: the factor of W, x where A (x W) was computed, else A x."""

    A: InputOperator
    factor: np.ndarray
    transformed_first: bool


class SavedSage(NamedTuple):
    """x and its targets' rows where A (x W_nbr) was computed, else nothing and [A x | x_dst]."""

    A: InputOperator
    x: np.ndarray | None
    rows: np.ndarray


class SageMean:
    """y = x_dst W_self + (A x) W_nbr, where A averages over the in-neighbours.

    arXiv:1706.02216, Algorithm 1 without line 7 (no L2 norm); PyG's SAGEConv, whose lin_l is W_nbr
    and lin_r is W_self. Both weights are one matrix, and y = [A x | x_dst] W one product, unless
    A (x W_nbr) is cheaper.
    """

    aggregation: Aggregation = "mean"
    activation: Activation = "relu"
    bias_name = "lin_l.bias"

    def __init__(self, parameters: Views):
        """parameters: views by the names of `declare`."""
        self.nbr, self.root = parameters["lin_l.weight"], parameters["lin_r.weight"]
        self.both = stacked(self.nbr, self.root)

    @staticmethod
    def declare(d_in: int, d_out: int, heads: int = 1) -> dict[str, Declared]:
        """Its parameters, the bias among them."""
        return {
            "lin_l.weight": kaiming(d_in, d_out),
            "lin_r.weight": replace(kaiming(d_in, d_out), follows=True),
            "lin_l.bias": kaiming_bias(d_in, d_out),
        }

    def forward(
        self, A: InputOperator, x: Matrix, dropout: Dropout = NO_DROPOUT
    ) -> tuple[np.ndarray, SavedSage]:
        """(n_src, d_in) -> (n_dst, d_out)."""
        if transforms_first(A, self.nbr):
            x = dense(x)
            y = A.gather(linear(x, self.nbr))
            x_dst = A.targets(x)
            linear_onto(x_dst, self.root, y)
            return y, SavedSage(A, x, x_dst)
        both = A.gather_beside(x)  # (n_dst, 2 d_in)
        return linear(both, self.both), SavedSage(A, None, both)

    def backward(self, dy: np.ndarray, saved: SavedSage, grads: Views, need_dx: bool) -> Gradient:
        """(n_dst, d_out) -> (n_src, d_in)."""
        A, x, rows = saved
        if x is None:
            dweight = stacked(grads["lin_l.weight"], grads["lin_r.weight"])
            dboth = linear_backward(dy, rows, self.both, dweight, need_dx)
            return None if dboth is None else with_adjoint(A).gather_beside_adjoint(dboth)
        propagated = Propagated(A, x, True)
        dx = propagate_backward(dy, propagated, self.nbr, grads["lin_l.weight"], need_dx)
        weight_gradient(dy, rows, grads["lin_r.weight"])
        if dx is not None:
            linear_onto(dy, self.root.T, with_adjoint(A).targets(dx))
        return dx


class Gcn:
    """y = A x W, where A holds 1 / sqrt(d_u d_v) with every vertex its own neighbour.

    arXiv:1609.02907, Eq. 2; PyG's GCNConv.
    """

    aggregation: Aggregation = "gcn"
    activation: Activation = "relu"
    bias_name = "bias"

    def __init__(self, parameters: Views):
        """parameters: views by the names of `declare`."""
        self.weight = parameters["lin.weight"]

    @staticmethod
    def declare(d_in: int, d_out: int, heads: int = 1) -> dict[str, Declared]:
        """Its parameters, the bias among them."""
        return {"lin.weight": glorot(d_in, d_out), "bias": zeros(d_out)}

    def forward(
        self, A: InputOperator, x: Matrix, dropout: Dropout = NO_DROPOUT
    ) -> tuple[np.ndarray, Propagated]:
        """(n_src, d_in) -> (n_dst, d_out)."""
        return propagate(A, x, self.weight)

    def backward(self, dy: np.ndarray, saved: Propagated, grads: Views, need_dx: bool) -> Gradient:
        """(n_dst, d_out) -> (n_src, d_in)."""
        return propagate_backward(dy, saved, self.weight, grads["lin.weight"], need_dx)


class SavedGin(NamedTuple):
    """What `Gin.backward` needs: of its first product, of the inner epilogue, and its result."""

    propagated: Propagated
    activated: SavedEpilogue
    hidden: np.ndarray


class Gin:
    """y = relu((x_dst + A x) W_0 + b_0) W_2, where A sums over the in-neighbours.

    arXiv:1810.00826, Eq. 4.1 with eps = 0; PyG's GINConv of Linear-ReLU-Linear, whose inner width
    is d_out.
    """

    aggregation: Aggregation = "sum"
    activation: Activation = "relu"
    bias_name = "nn.2.bias"

    def __init__(self, parameters: Views):
        """parameters: views by the names of `declare`."""
        self.first, self.second = parameters["nn.0.weight"], parameters["nn.2.weight"]
        self.inner = Epilogue("relu", parameters["nn.0.bias"])

    @staticmethod
    def declare(d_in: int, d_out: int, heads: int = 1) -> dict[str, Declared]:
        """Its parameters, the last bias among them."""
        return {
            "nn.0.weight": kaiming(d_in, d_out),
            "nn.0.bias": kaiming_bias(d_in, d_out),
            "nn.2.weight": kaiming(d_out, d_out),
            "nn.2.bias": kaiming_bias(d_out, d_out),
        }

    def forward(
        self, A: InputOperator, x: Matrix, dropout: Dropout = NO_DROPOUT
    ) -> tuple[np.ndarray, SavedGin]:
        """(n_src, d_in) -> (n_dst, d_out)."""
        u, propagated = propagate(A, x, self.first, with_self=True)
        hidden, activated = self.inner.forward(u)
        return linear(hidden, self.second), SavedGin(propagated, activated, hidden)

    def backward(self, dy: np.ndarray, saved: SavedGin, grads: Views, need_dx: bool) -> Gradient:
        """(n_dst, d_out) -> (n_src, d_in)."""
        propagated, activated, hidden = saved
        dhidden = linear_backward(dy, hidden, self.second, grads["nn.2.weight"])
        du = self.inner.backward(dhidden, activated, grads["nn.0.bias"])
        return propagate_backward(
            du, propagated, self.first, grads["nn.0.weight"], need_dx, with_self=True
        )


class SavedGat(NamedTuple):
    """What `Gat.backward` needs; z: x W."""

    A: Operator
    x: np.ndarray
    z: np.ndarray
    attended: Saved


class Gat:
    """y_v = sum over u of alpha_vu x_u W, alpha_v = softmax(leaky(a_src . x_u W + a_dst . x_v W)).

    Each of `heads` heads has its own columns of W and its own a; their results stand side by side.
    arXiv:1710.10903, Eq. 3 and 5, LeakyReLU slope 0.2, every vertex its own neighbour; PyG's
    GATConv.
    """

    aggregation: Aggregation = "attention"
    activation: Activation = "elu"
    bias_name = "bias"

    def __init__(self, parameters: Views):
        """parameters: views by the names of `declare`."""
        self.weight = parameters["lin.weight"]
        self.att_src, self.att_dst = parameters["att_src"], parameters["att_dst"]

    @staticmethod
    def declare(d_in: int, d_out: int, heads: int = 1) -> dict[str, Declared]:
        """Its parameters, the bias among them; d_out = heads x width of a head."""
        return {
            "lin.weight": glorot(d_in, d_out),
            "att_src": glorot(heads, d_out // heads),
            "att_dst": glorot(heads, d_out // heads),
            "bias": zeros(d_out),
        }

    def forward(
        self, A: InputOperator, x: Matrix, dropout: Dropout = NO_DROPOUT
    ) -> tuple[np.ndarray, SavedGat]:
        """(n_src, d_in) -> (n_dst, d_out); dropout: of the attention coefficients."""
        A, x = with_adjoint(A), dense(x)
        z = linear(x, self.weight)  # (n_src, heads * width)
        s_src = z @ block_diagonal(self.att_src)  # (n_src, heads)
        s_dst = A.targets(z) @ block_diagonal(self.att_dst)  # (n_dst, heads)
        heads = z.reshape(len(z), *self.att_src.shape)
        h, attended = A.attend(heads, s_src, s_dst, dropout)  # (n_dst, heads, width)
        return h.reshape(len(h), z.shape[1]), SavedGat(A, x, z, attended)

    def backward(self, dy: np.ndarray, saved: SavedGat, grads: Views, need_dx: bool) -> Gradient:
        """(n_dst, d_out) -> (n_src, d_in)."""
        A, x, z, attended = saved
        dh = dy.reshape(len(dy), *self.att_src.shape)
        dz_heads, ds_src, ds_dst = A.attend_adjoint(dh, attended)
        dz = dz_heads.reshape(z.shape)
        dz += ds_src @ block_diagonal(self.att_src).T
        A.add_targets(dz, ds_dst @ block_diagonal(self.att_dst).T)
        diagonal_blocks(z.T @ ds_src, grads["att_src"])
        diagonal_blocks(A.targets(z).T @ ds_dst, grads["att_dst"])
        return linear_backward(dz, x, self.weight, grads["lin.weight"], need_dx)


class GcnII:
    """y = h ((1 - beta) I + beta W), where h = (1 - alpha) A x + alpha x_0.

    A is GCN's, x_0 the rows that entered the first layer; beta = log(theta / l + 1), where l = 1,
    2, ... is the number of the layer.
    arXiv:2007.02133, Eq. 5; PyG's GCN2Conv with shared weights. It has no bias.
    """

    aggregation: Aggregation = "gcn"

    def __init__(self, parameters: Views, below: int = 0, alpha: float = 0.1, theta: float = 0.5):
        """parameters: views by the names of `declare`; below: layers below this one."""
        self.weight, self.alpha = parameters["weight1"], alpha
        self.beta = math.log(theta / (below + 1) + 1)

    @staticmethod
    def declare(d_in: int, d_out: int, heads: int = 1) -> dict[str, Declared]:
        """Its parameters; d_in = d_out."""
        return {"weight1": glorot(d_in, d_out)}

    def forward(
        self, A: Operator, x: np.ndarray, initial: np.ndarray
    ) -> tuple[np.ndarray, tuple[Operator, np.ndarray]]:
        """x (n_src, d), initial (n_dst, d) -> (n_dst, d)."""
        h = A.gather(x)
        h *= 1 - self.alpha
        h += self.alpha * initial
        return linear(h, self._mixed()), (A, h)

    def backward(
        self,
        dy: np.ndarray,
        saved: tuple[Operator, np.ndarray],
        grads: Views,
        dinitial: np.ndarray,
    ) -> np.ndarray:
        """(n_dst, d) -> (n_src, d); the gradient of `initial` is added into dinitial."""
        A, h = saved
        dh = linear_backward(dy, h, self._mixed(), grads["weight1"])
        grads["weight1"][...] *= self.beta
        dinitial += self.alpha * dh
        dh *= 1 - self.alpha
        return A.gather_adjoint(dh)

    def _mixed(self) -> np.ndarray:
        """(1 - beta) I + beta W."""
        identity = np.eye(len(self.weight), dtype=self.weight.dtype)
        return (1 - self.beta) * identity + self.beta * self.weight


CONVOLUTIONS: dict[str, type[Convolution]] = {"sage": SageMean, "gcn": Gcn, "gin": Gin, "gat": Gat}


def transforms_first(A: InputOperator, weight: np.ndarray) -> TypeGuard[Operator]:
    """Whether A (x W) can be had and has no larger matrix between than (A x) W.

    Of equal ones it is better: backward needs x, which is there anyway, instead of A x.
    """
    if not has_adjoint(A):
        return False
    return weight.shape[1] * A.num_sources <= weight.shape[0] * A.num_targets


def propagate(
    A: InputOperator, x: Matrix, weight: np.ndarray, with_self: bool = False
) -> tuple[np.ndarray, Propagated]:
    """A x W, or (A + I) x W with self; (A x) W or A (x W), whichever matrix between is smaller."""
    gather = A.gather_self if with_self else A.gather
    if transforms_first(A, weight):
        x = dense(x)
        return gather(linear(x, weight)), Propagated(A, x, True)
    h = gather(x)  # (n_dst, d_in)
    return linear(h, weight), Propagated(A, h, False)


def propagate_backward(
    dy: np.ndarray,
    saved: Propagated,
    weight: np.ndarray,
    dweight: np.ndarray,
    need_dx: bool,
    with_self: bool = False,
) -> Gradient:
    """Overwrites dweight; returns the gradient of x, or None unless it is needed."""
    A, factor, transformed_first = saved
    if transformed_first:
        dz = _gather_adjoint(with_adjoint(A), dy, with_self)  # (n_src, d_out)
        return linear_backward(dz, factor, weight, dweight, need_dx)
    dh = linear_backward(dy, factor, weight, dweight, need_dx)
    return None if dh is None else _gather_adjoint(with_adjoint(A), dh, with_self)


def _gather_adjoint(A: Operator, dh: np.ndarray, with_self: bool) -> np.ndarray:
    return A.gather_self_adjoint(dh) if with_self else A.gather_adjoint(dh)


def block_diagonal(att: np.ndarray) -> np.ndarray:
    """(heads, width) -> (heads * width, heads), so that z @ it is the score of each head."""
    heads, width = att.shape
    out = np.zeros((heads, width, heads), att.dtype)
    head = np.arange(heads)
    out[head, :, head] = att
    return out.reshape(heads * width, heads)


def diagonal_blocks(matrix: np.ndarray, out: np.ndarray) -> None:
    """The adjoint of `block_diagonal`: out (heads, width) is overwritten."""
    heads, width = out.shape
    head = np.arange(heads)
    out[...] = matrix.reshape(heads, width, heads)[head, :, head]
