"""Keyed random numbers: every draw is a hash of what it is for, never a state that advances.

`stream_key` folds (run seed, purpose, epoch, step, layer) into 64 bits; `draw` hashes a key with an
id into 64 uniform bits. The finaliser is splitmix64's (Steele, Lea, Flood, OOPSLA 2014).
All arithmetic is on uint64: in Numba, uint64 with int64 would become float64.
"""

import numpy as np

from batchgnn.kernels.jit import kernel

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_A = np.uint64(0xBF58476D1CE4E5B9)
MIX_B = np.uint64(0x94D049BB133111EB)
S27, S30, S31, S32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)


@kernel(inline="always")
def mix(x):
    """64 bits -> 64 well-mixed bits, one to one."""
    x = (x ^ (x >> S30)) * MIX_A
    x = (x ^ (x >> S27)) * MIX_B
    return x ^ (x >> S31)


@kernel
def draw(key, ident):
    """Uniform 64 bits for `ident` (vertex, edge or column) under `key`; both uint64."""
    return mix(key ^ mix(np.uint64(ident) + GOLDEN))


@kernel
def stream_key(seed, purpose, epoch, step, layer):
    """One uint64 key for a (run seed, purpose, epoch, step, layer or hop)."""
    key = mix(np.uint64(seed) + GOLDEN)
    key = draw(key, np.uint64(purpose))
    key = draw(key, np.uint64(epoch))
    key = draw(key, np.uint64(step))
    return draw(key, np.uint64(layer))


@kernel
def below(bits, n):
    """A uniform integer in [0, n) from 64 random bits; n < 2^32. Bias is below n / 2^32."""
    return np.int64(((bits >> S32) * np.uint64(n)) >> S32)


@kernel
def unit(bits):
    """A uniform float64 in [0, 1) from 64 random bits."""
    return np.float64(bits >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel
def fill_draws(key, idents, out):
    """out[i] = draw(key, idents[i]); uint64 (n,)."""
    for i in range(len(idents)):
        out[i] = draw(key, np.uint64(idents[i]))
