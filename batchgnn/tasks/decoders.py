"""Decoders: from the rows of two vertices to the logit of an edge between them.

Rows come as left (B, d), of sources, and right (n, B, d), of n vertices that each is paired with,
or (n, 1, d), of n that all are paired with; logits are (n, B). `backward` adds to the gradients of
the decoder's own parameters.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from batchgnn.nn.init import Declared, kaiming, ones, zeros

Arrays = Mapping[str, np.ndarray]


class Decoder(Protocol):
    """A function of two rows, with parameters by name."""

    def head(self, width: int) -> dict[str, Declared]:
        """Its parameters, for rows of so many columns."""

    def logits(self, p: Arrays, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, Any]:
        """(logits, what `backward` needs)."""

    def backward(
        self, p: Arrays, grads: Arrays, left: np.ndarray, right: np.ndarray, slope: np.ndarray,
        saved: Any,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Gradients by left and right; slope: by the logits."""


class Dot:
    """z_u . z_v; no parameters."""

    def head(self, width: int) -> dict[str, Declared]:
        """None."""
        return {}

    def logits(self, p: Arrays, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, Any]:
        """As `Decoder.logits`."""
        return _met(left, right), None

    def backward(
        self, p: Arrays, grads: Arrays, left: np.ndarray, right: np.ndarray, slope: np.ndarray,
        saved: Any,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """As `Decoder.backward`."""
        return _adjoint(slope, left, right)


class DistMult:
    """z_u . diag(w) . z_v, of arXiv:1412.6575 with one relation."""

    def head(self, width: int) -> dict[str, Declared]:
        """The diagonal, 1 at first."""
        return {"w": ones(width)}

    def logits(self, p: Arrays, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, Any]:
        """As `Decoder.logits`."""
        return _met(left * p["w"], right), None

    def backward(
        self, p: Arrays, grads: Arrays, left: np.ndarray, right: np.ndarray, slope: np.ndarray,
        saved: Any,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """As `Decoder.backward`."""
        met, dright = _adjoint(slope, left * p["w"], right)
        grads["w"][:] += np.einsum("bd,bd->d", met, left)
        return met * p["w"], dright


class TwoLayers:
    """w . ReLU((z_u * z_v) W + b) + c: alike in both directions, as the others."""

    def head(self, width: int) -> dict[str, Declared]:
        """Two layers, the second of one column."""
        return {
            "W": kaiming(width, width),
            "b": zeros(width),
            "w": Declared((width,), width**-0.5),
            "c": zeros(1),
        }

    def logits(self, p: Arrays, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, Any]:
        """As `Decoder.logits`."""
        product = left * right
        active = np.maximum(product @ p["W"] + p["b"], 0)
        return active @ p["w"] + p["c"], (product, active)

    def backward(
        self, p: Arrays, grads: Arrays, left: np.ndarray, right: np.ndarray, slope: np.ndarray,
        saved: Any,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """As `Decoder.backward`."""
        width = left.shape[1]
        product, active = (each.reshape(-1, width) for each in saved)
        flat = slope.reshape(-1)
        grads["w"][:] += flat @ active
        grads["c"][:] += flat.sum()
        dhidden = np.where(active > 0, flat[:, None] * p["w"], 0)
        grads["W"][:] += product.T @ dhidden
        grads["b"][:] += dhidden.sum(axis=0)
        dproduct = (dhidden @ p["W"].T).reshape(len(right), *left.shape)
        dright = dproduct * left
        if right.shape[1] != len(left):
            dright = dright.sum(axis=1, keepdims=True)
        return (dproduct * right).sum(axis=0), dright


def _met(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(n, B): inner products."""
    if right.shape[1] == 1:
        return right[:, 0] @ left.T
    return np.einsum("bd,nbd->nb", left, right)


def _adjoint(
    slope: np.ndarray, left: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of `_met` by left and right; slope: by the products."""
    if right.shape[1] == 1:
        return slope.T @ right[:, 0], (slope @ left)[:, None]
    return np.einsum("nb,nbd->bd", slope, right), slope[:, :, None] * left


DECODERS: Mapping[str, Decoder] = {"dot": Dot(), "distmult": DistMult(), "mlp": TwoLayers()}
