"""Layer normalisation between a convolution and its activation."""

from collections.abc import Mapping

import numpy as np

from batchgnn.kernels.epilogue import ROWS_PER_CHUNK
from batchgnn.kernels.norm import layer_norm, layer_norm_adjoint
from batchgnn.nn.init import Declared, ones, zeros


class LayerNorm:
    """out = (y + bias - mean) / std * weight + bias', each row by its own mean and deviation.

    arXiv:1607.06450; PyG's LayerNorm(mode="node"), torch's LayerNorm. The convolution's bias is
    added here. parameters: weight, bias (d,).
    """

    def __init__(self, parameters: Mapping[str, np.ndarray]):
        """parameters: views by the names of `declare`."""
        self.gain, self.shift = parameters["weight"], parameters["bias"]

    @staticmethod
    def declare(width: int) -> dict[str, Declared]:
        """Its parameters."""
        return {"weight": ones(width), "bias": zeros(width)}

    def forward(self, y: np.ndarray, bias: np.ndarray):
        """y (n, d) is used up."""
        out, rstd = np.empty_like(y), np.empty(len(y), y.dtype)
        layer_norm(y, bias, self.gain, self.shift, y, rstd, out)
        return out, (y, rstd)

    def backward(self, dy: np.ndarray, saved, grads: Mapping[str, np.ndarray], dbias: np.ndarray):
        """dy becomes the gradient before the norm; dbias that of the convolution's bias."""
        normal, rstd = saved
        num_chunks = -(-len(dy) // ROWS_PER_CHUNK)
        partial = np.empty((num_chunks, 3, dy.shape[1]), dy.dtype)
        layer_norm_adjoint(dy, self.gain, normal, rstd, partial)
        grads["weight"][:], grads["bias"][:], dbias[:] = partial.sum(axis=0)
        return dy
