"""The parameters of a model: named views of one flat buffer, and the same views of one gradient."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import DTypeLike

from batchgnn.nn.init import Declared, fill

ALIGNMENT = 16
"Elements: every view begins on a cache line, unless it follows another directly."


class Parameters(Mapping[str, np.ndarray]):
    """name -> view of `buffer`; `grads` has the same names as views of `grad`.

    buffer, grad  (n,)  all parameters in the order of their declaration, those that are not trained
                        last. Gaps between views, at most 15 elements each, are 0 and stay so.
    layout        name -> (offset, shape): says what a saved buffer holds
    size          number of trained parameters, gaps not counted
    num_trained   optimisers move the elements before it
    """

    def __init__(self, declared: Mapping[str, Declared], seed: int, dtype: DTypeLike = np.float32):
        """Allocates and draws the initial values; the same for every process."""
        self.layout: dict[str, tuple[int, tuple[int, ...]]] = {}
        end = self.num_trained = 0
        for name, each in sorted(declared.items(), key=lambda item: not item[1].trained):
            begin = end if each.follows else -(-end // ALIGNMENT) * ALIGNMENT
            self.layout[name] = (begin, each.shape)
            end = begin + math.prod(each.shape)
            if each.trained:
                self.num_trained = -(-end // ALIGNMENT) * ALIGNMENT
        end = -(-end // ALIGNMENT) * ALIGNMENT
        self.buffer, self.grad = _aligned_zeros(end, dtype), _aligned_zeros(end, dtype)
        self._views = self.views_of(self.buffer)
        self.grads = self.views_of(self.grad)
        self.size = sum(view.size for name, view in self.items() if declared[name].trained)
        for place, (name, each) in enumerate(declared.items()):
            fill(self[name], each, seed, place)

    def views_of(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """The named views of any flat array of the buffer's length."""
        return {
            name: flat[offset : offset + math.prod(shape)].reshape(shape)
            for name, (offset, shape) in self.layout.items()
        }

    def scope(self, prefix: str) -> dict[str, np.ndarray]:
        """The parameters whose names begin with `prefix`, without it."""
        return {n.removeprefix(prefix): v for n, v in self.items() if n.startswith(prefix)}

    def scope_grads(self, prefix: str) -> dict[str, np.ndarray]:
        """Their gradients."""
        return {n.removeprefix(prefix): v for n, v in self.grads.items() if n.startswith(prefix)}

    def __getitem__(self, name: str) -> np.ndarray:
        """The view called `name`."""
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        """Names, in the order of declaration."""
        return iter(self._views)

    def __len__(self) -> int:
        """Number of named views."""
        return len(self._views)


def stacked(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Two matrices of equal width, of which `below` follows `above` in memory, as one."""
    if below.ctypes.data != above.ctypes.data + above.nbytes:
        raise ValueError("the second matrix does not follow the first: declare it with `follows`")
    shape = (len(above) + len(below), above.shape[1])
    return np.lib.stride_tricks.as_strided(above, shape)


def _aligned_zeros(count: int, dtype: DTypeLike) -> np.ndarray:
    """Zeros that begin on a cache line."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.zeros(count * itemsize + 64, np.uint8)
    skip = -raw.ctypes.data % 64
    return raw[skip : skip + count * itemsize].view(dtype)
