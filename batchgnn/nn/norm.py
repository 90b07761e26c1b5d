"""Normalisation between a convolution and its activation: of each row, or of columns of all."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from batchgnn.base import buffers
from batchgnn.kernels.epilogue import ROWS_PER_CHUNK
from batchgnn.kernels.norm import (
    batch_norm,
    batch_norm_adjoint,
    column_products,
    layer_norm,
    layer_norm_adjoint,
)
from batchgnn.nn.init import Declared, ones, zeros
from batchgnn.nn.operator import InputOperator, Saved

EPS, MOMENTUM = 1e-5, 0.1
Views = Mapping[str, np.ndarray]


class Norm(Protocol):
    """What an epilogue asks of a norm.

    whole_graph  its statistics are of all vertices: in a sampled step a vertex would count once for
                 every rank that drew it
    """

    whole_graph: bool

    def __init__(self, parameters: Views):
        """parameters: views by the names of `declare`."""

    @staticmethod
    def declare(width: int) -> dict[str, Declared]:
        """Its parameters."""

    def forward(
        self, y: np.ndarray, bias: np.ndarray, A: InputOperator | None = None, training: bool = True
    ) -> tuple[np.ndarray, Saved]:
        """The norm of y + bias, and what backward needs; y (n, d) is used up.

        A: the layer's operator, whose `total` adds up sums over its targets on all ranks
        """

    def backward(self, dy: np.ndarray, saved: Saved, grads: Views, dbias: np.ndarray) -> np.ndarray:
        """dy becomes the gradient before the norm; dbias that of the convolution's bias."""


class LayerNorm:
    """out = (y + bias - mean) / std * weight + bias', each row by its own mean and deviation.

    arXiv:1607.06450; PyG's LayerNorm(mode="node"), torch's LayerNorm. The convolution's bias is
    added here. parameters: weight, bias (d,).
    """

    whole_graph = False

    def __init__(self, parameters: Views):
        """parameters: views by the names of `declare`."""
        self.gain, self.shift = parameters["weight"], parameters["bias"]

    @staticmethod
    def declare(width: int) -> dict[str, Declared]:
        """Its parameters."""
        return {"weight": ones(width), "bias": zeros(width)}

    def forward(
        self, y: np.ndarray, bias: np.ndarray, A: InputOperator | None = None, training: bool = True
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """As `Norm.forward`; A is not needed."""
        out, rstd = buffers.empty(y.shape, y.dtype), np.empty(len(y), y.dtype)
        layer_norm(y, bias, self.gain, self.shift, y, rstd, out)
        return out, (y, rstd)

    def backward(
        self,
        dy: np.ndarray,
        saved: tuple[np.ndarray, np.ndarray],
        grads: Views,
        dbias: np.ndarray,
    ) -> np.ndarray:
        """As `Norm.backward`."""
        normal, rstd = saved
        num_chunks = -(-len(dy) // ROWS_PER_CHUNK)
        partial = np.empty((num_chunks, 3, dy.shape[1]), dy.dtype)
        layer_norm_adjoint(dy, self.gain, normal, rstd, partial)
        grads["weight"][:], grads["bias"][:], dbias[:] = partial.sum(axis=0)
        return dy


class SavedBatch(NamedTuple):
    """What `BatchNorm.backward` needs; A: of a step of training alone."""

    normal: np.ndarray
    rstd: np.ndarray
    num_rows: float
    A: InputOperator | None


class BatchNorm:
    """out = (y + bias - mean) / std * weight + bias', by column; the statistics are those of all
    rows of all ranks in training, running averages of them afterwards.

    arXiv:1502.03167; PyG's BatchNorm, torch's BatchNorm1d: momentum 0.1, the running variance is
    the unbiased one. parameters: module.weight, module.bias, module.running_mean, .running_var.
    """

    whole_graph = True

    def __init__(self, parameters: Views):
        """parameters: views by the names of `declare`."""
        self.gain, self.shift = parameters["module.weight"], parameters["module.bias"]
        self.mean = parameters["module.running_mean"]
        self.variance = parameters["module.running_var"]

    @staticmethod
    def declare(width: int) -> dict[str, Declared]:
        """Its parameters, and the running averages, which are not trained."""
        return {
            "module.weight": ones(width),
            "module.bias": zeros(width),
            "module.running_mean": replace(zeros(width), trained=False),
            "module.running_var": replace(ones(width), trained=False),
        }

    def forward(
        self, y: np.ndarray, bias: np.ndarray, A: InputOperator | None = None, training: bool = True
    ) -> tuple[np.ndarray, SavedBatch]:
        """As `Norm.forward`; A is called in training only."""
        mean, variance, count = self.mean - bias, self.variance, 0.0
        if training:
            mean, variance, count = self._statistics(y, bias, A)
        rstd = (1 / np.sqrt(variance + EPS)).astype(y.dtype)
        out = buffers.empty(y.shape, y.dtype)
        batch_norm(y, mean.astype(y.dtype), rstd, self.gain, self.shift, y, out)
        return out, SavedBatch(y, rstd, count, A)

    def backward(
        self, dy: np.ndarray, saved: SavedBatch, grads: Views, dbias: np.ndarray
    ) -> np.ndarray:
        """As `Norm.backward`; what the mean takes away, the bias, has no gradient."""
        normal, rstd, count, A = saved
        sums = _column_sums(dy, normal)
        grads["module.weight"][:], grads["module.bias"][:] = sums
        for name in ("module.running_mean", "module.running_var"):
            grads[name][:] = 0
        dbias[:] = 0
        means = (_total(A, sums) / max(count, 1)).astype(dy.dtype)
        batch_norm_adjoint(dy, normal, self.gain * rstd, *means)
        return dy

    def _statistics(
        self, y: np.ndarray, bias: np.ndarray, A: InputOperator | None
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Mean and variance of y's columns over all ranks, and rows; moves the running averages."""
        total = _total(A, np.append(_column_sums(y, y), float(len(y))))
        squares, sums = total[:-1].reshape(2, -1)
        count = max(total[-1], 1.0)
        mean = sums / count
        variance = np.maximum(squares / count - mean**2, 0)
        unbiased = variance * count / max(count - 1, 1)
        self.mean += MOMENTUM * (mean + bias - self.mean)
        self.variance += MOMENTUM * (unbiased - self.variance)
        return mean, variance, count


def _total(A: InputOperator | None, sums: np.ndarray) -> np.ndarray:
    """Over all ranks."""
    if A is None:
        raise TypeError("batch normalisation trains on a layer's operator, which adds up its sums")
    return A.total(sums)


def _column_sums(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float64 (2, d): sums over the rows of a b, and of a."""
    partial = np.empty((-(-len(a) // ROWS_PER_CHUNK), 2, a.shape[1]))
    column_products(a, b, partial)
    return partial.sum(axis=0)


NORMS: dict[str, type[Norm]] = {"layer": LayerNorm, "batch": BatchNorm}
