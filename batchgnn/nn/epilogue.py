"""What follows a convolution: its bias, the norm if there is one, the activation, dropout."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from batchgnn.kernels.epilogue import ELU, NONE, RELU, ROWS_PER_CHUNK, epilogue, epilogue_adjoint
from batchgnn.nn.dropout import NO_DROPOUT, Dropout
from batchgnn.nn.norm import Norm
from batchgnn.nn.operator import InputOperator, Saved

Activation = Literal["none", "relu", "elu"]
ACTIVATIONS: dict[Activation, int] = {"none": NONE, "relu": RELU, "elu": ELU}
NO_IDS = np.empty(0, np.uint32)
NO_GRADS: Mapping[str, np.ndarray] = {}


class SavedEpilogue(NamedTuple):
    """What `Epilogue.backward` needs: its result, the keys of rows, and what the norm has saved."""

    y: np.ndarray
    ids: np.ndarray
    dropout: Dropout
    normed: Saved


class Epilogue:
    """y = dropout(activation(norm(y + bias))), in place where there is no norm."""

    def __init__(self, activation: Activation, bias: np.ndarray, norm: Norm | None = None):
        """bias (d,)."""
        self.activation = ACTIVATIONS[activation]
        self.bias, self.norm = bias, norm
        self.no_bias = np.empty(0, bias.dtype)

    def forward(
        self,
        y: np.ndarray,
        ids: np.ndarray = NO_IDS,
        dropout: Dropout = NO_DROPOUT,
        A: InputOperator | None = None,
        training: bool = False,
    ) -> tuple[np.ndarray, SavedEpilogue]:
        """y (n, d) is used up; ids (n,): global ids of its rows, the keys of dropout.

        A: the layer's operator, for a norm over all ranks; training: whether that uses y's own
        statistics
        """
        normed = None
        if self.norm is not None:
            y, normed = self.norm.forward(y, self.bias, A, training)
        bias = self.bias if self.norm is None else self.no_bias
        epilogue(y, bias, self.activation, ids, dropout.mask)
        return y, SavedEpilogue(y, ids, dropout, normed)

    def backward(
        self,
        dy: np.ndarray,
        saved: SavedEpilogue,
        dbias: np.ndarray,
        norm_grads: Mapping[str, np.ndarray] = NO_GRADS,
    ) -> np.ndarray:
        """dy becomes the gradient before the epilogue; dbias (d,), norm_grads are overwritten."""
        y, ids, dropout, normed = saved
        partial = np.empty((-(-len(dy) // ROWS_PER_CHUNK), dy.shape[1]), dy.dtype)
        epilogue_adjoint(dy, y, self.activation, ids, dropout.mask, partial)
        if self.norm is None:
            np.sum(partial, axis=0, out=dbias)
            return dy
        return self.norm.backward(dy, normed, norm_grads, dbias)
