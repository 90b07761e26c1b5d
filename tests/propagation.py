"""The operator of a decoupled model on one process, as what it says: products one after another."""

from functools import cached_property

import numpy as np
from reference.epilogue import column_bits
from reference.rng import draw

from batchgnn.operators.local import LocalOperator

SLOPE = float(np.float32(0.2))


class RepeatedOperator(LocalOperator):
    """GCN's rounds by `gather`; those of attention by dense matrices, one of them per round."""

    def propagate(self, z, rounds):
        for _ in range(rounds):
            z = self.gather(z)
        return z

    def propagate_adjoint(self, dy, rounds):
        for _ in range(rounds):
            dy = self.gather_adjoint(dy)
        return dy

    def attend_rounds(self, z, scores, dropout, rounds):
        softmax, slope = self._softmax(scores)
        kept = self._kept(dropout)
        A, inputs = softmax * kept, []
        for _ in range(rounds):
            inputs.append(z)
            z = A @ z
        return z, (softmax, slope, kept, inputs)

    def attend_rounds_adjoint(self, dh, saved):
        softmax, slope, kept, inputs = saved
        A, dA = softmax * kept, np.zeros_like(softmax)
        for z in reversed(inputs):
            dA += dh @ z.T
            dh = A.T @ dh
        dsoftmax = kept * dA
        mean = (softmax * dsoftmax).sum(axis=1, keepdims=True)
        dscore = slope * softmax * (dsoftmax - mean)
        return dh, np.stack([dscore.sum(axis=0), dscore.sum(axis=1)], axis=1)

    def _softmax(self, scores):
        """Of every target, over its parallel edges together; the LeakyReLU's slope."""
        raw = scores[None, :, 0] + scores[:, None, 1]
        slope = np.where(raw > 0, 1, SLOPE)
        top = np.where(self._count > 0, slope * raw, -np.inf).max(axis=1, keepdims=True)
        weight = self._count * np.exp(np.where(self._count > 0, slope * raw - top, 0))
        return weight / weight.sum(axis=1, keepdims=True), slope

    def _kept(self, dropout):
        """What dropout multiplies the coefficients by."""
        out = np.ones(self._count.shape)
        if dropout.probability:
            mask = dropout.mask
            for v, u in np.argwhere(self._count > 0):
                key = draw(dropout.key, self.source_ids[v])
                bits = column_bits(draw(key, self.source_ids[u]), 0)
                out[v, u] = float(mask.scale) if bits >= mask.threshold else 0
        return out

    @cached_property
    def _count(self):
        """Parallel edges from u to v, in row v; every vertex is its own neighbour once."""
        out = np.zeros((self.num_targets, self.num_sources))
        target = np.repeat(np.arange(self.num_targets), np.diff(self.block.indptr))
        np.add.at(out, (target, self.block.indices), 1)
        np.fill_diagonal(out, 1)
        return out
