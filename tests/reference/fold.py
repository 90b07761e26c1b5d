"""A sum of hashes of words and their positions, in Python's own integers."""

from reference.rng import MASK64, mix


def fold(words, first, total):
    golden, total = 0x9E3779B97F4A7C15, int(total)
    for position, word in enumerate(words, int(first)):
        total += mix(int(word) ^ mix(position * golden & MASK64))
    return total & MASK64
