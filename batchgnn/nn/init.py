"""Initial weights, as PyTorch Geometric 2.8 draws them: which distribution each parameter has.

The numbers are keyed draws of (run seed, place among the parameters, element), so that every
process makes the same ones without sending them.
"""

import math
from dataclasses import dataclass

import numpy as np

from batchgnn.base.rng import Purpose
from batchgnn.kernels.rng import fill_draws, stream_key


@dataclass(frozen=True)
class Declared:
    """A parameter to be: its shape, and `center` plus a uniform draw from [-bound, bound).

    follows: it begins where the one declared before it ends, so that both are one matrix too
    trained: optimisers move it; else it is a statistic that the model keeps up itself
    """

    shape: tuple[int, ...]
    bound: float = 0.0
    center: float = 0.0
    follows: bool = False
    trained: bool = True


def kaiming(d_in: int, d_out: int) -> Declared:
    """A weight (d_in, d_out) as torch's and PyG's Linear have it: kaiming_uniform, a = sqrt 5."""
    return Declared((d_in, d_out), 1 / math.sqrt(d_in))


def kaiming_bias(d_in: int, d_out: int) -> Declared:
    """The bias (d_out,) of a Linear with d_in inputs."""
    return Declared((d_out,), 1 / math.sqrt(d_in))


def glorot(d_in: int, d_out: int) -> Declared:
    """A weight (d_in, d_out) as GCNConv and GATConv have it; also GATConv's (heads, width)."""
    return Declared((d_in, d_out), math.sqrt(6 / (d_in + d_out)))


def zeros(width: int) -> Declared:
    """A bias that starts at 0."""
    return Declared((width,))


def ones(width: int) -> Declared:
    """A gain that starts at 1."""
    return Declared((width,), center=1.0)


def fill(out: np.ndarray, declared: Declared, seed: int, place: int) -> None:
    """Draw a parameter; `place` is its index among the parameters of the model."""
    out[...] = declared.center
    if declared.bound:
        bits = np.empty(out.size, np.uint64)
        key = np.uint64(stream_key(seed, int(Purpose.WEIGHTS), 0, 0, place))
        fill_draws(key, np.arange(out.size), bits)
        unit = (bits >> np.uint64(11)) * 2.0**-53
        out += (declared.bound * (2 * unit - 1)).reshape(out.shape)
