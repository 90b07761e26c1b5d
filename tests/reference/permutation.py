"""The keyed permutation by its rounds, and its inverse by search."""

from reference.rng import draw


def permute(key, n, x):
    bits = next(b for b in range(3, 32) if 4**b >= n)
    while True:
        left, right = x >> bits, x % 2**bits
        for i in range(6):
            left, right = right, left ^ draw(key, right * 16 + i) % 2**bits
        x = left * 2**bits + right
        if x < n:
            return x


def unpermute(key, n, y):
    return [permute(key, n, x) for x in range(n)].index(y)


def positions(key, n, first, out):
    for i in range(len(out)):
        out[i] = unpermute(key, n, first + i)
