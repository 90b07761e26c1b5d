"""A checksum at the speed of memory, for what is looked at in every run.

Each word is hashed with its position, one to one, and the hashes are added: whatever happens to one
word changes the sum, and the sum of several changes is 0 once in 2^64. Not against forgery: for
that files have BLAKE2b.
"""

from batchgnn.kernels.jit import kernel
from batchgnn.kernels.rng import GOLDEN, mix


@kernel
def fold(words, first, total):
    """`total` with the hashes of some words added, modulo 2^64.

    words  uint64 (n,)
    first  uint64, position of the first among all that are folded together
    total  uint64, of those before

    One pass, nothing allocated.
    """
    position = first * GOLDEN
    for i in range(len(words)):
        total += mix(words[i] ^ mix(position))
        position += GOLDEN
    return total
