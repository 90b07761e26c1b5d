"""Keyed dropout: which elements are dropped depends on the problem, not on the process."""

from dataclasses import dataclass

import numpy as np

from batchgnn.base.rng import Purpose
from batchgnn.kernels.epilogue import Mask
from batchgnn.kernels.epilogue import dropout as dropout_kernel
from batchgnn.kernels.rng import stream_key


@dataclass(frozen=True)
class Dropout:
    """One use of dropout: a stream key (uint64) and the probability of dropping, below 1.

    first: number of the first attention head, where some of a layer's heads are at hand
    """

    key: np.uint64
    probability: float
    first: int = 0

    @property
    def mask(self) -> Mask:
        """As the kernels take it."""
        threshold = np.uint32(min(round(self.probability * 2**32), 2**32 - 1))
        return Mask(self.key, threshold, np.float32(1 / (1 - self.probability)))

    def __call__(self, x: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """x (n, d) with elements dropped, rows keyed by ids (n,); x itself when nothing is."""
        if self.probability == 0:
            return x
        out = np.empty_like(x)
        dropout_kernel(x, ids, self.mask, out)
        return out


NO_DROPOUT = Dropout(np.uint64(0), 0.0)


@dataclass(frozen=True)
class DropoutStream:
    """The dropouts of one training step: one per layer and purpose."""

    seed: int
    epoch: int
    step: int

    def layer(self, layer: int, probability: float) -> Dropout:
        """Dropout of the rows that enter layer `layer`."""
        return self._keyed(Purpose.DROPOUT, layer, probability)

    def attention(self, layer: int, probability: float) -> Dropout:
        """Dropout of the attention coefficients inside layer `layer`."""
        return self._keyed(Purpose.ATTENTION_DROPOUT, layer, probability)

    def _keyed(self, purpose: Purpose, layer: int, probability: float) -> Dropout:
        key = stream_key(self.seed, int(purpose), self.epoch, self.step, layer)
        return Dropout(np.uint64(key), probability)
