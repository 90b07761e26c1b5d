"""Random bits keyed by ids, in Python's own integers."""

MASK64, MASK32 = 2**64 - 1, 2**32 - 1


def mix(x):
    x = int(x)
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK64
    return x ^ (x >> 31)


def draw(key, ident):
    return mix(int(key) ^ mix((int(ident) + 0x9E3779B97F4A7C15) & MASK64))


def stream_key(seed, purpose, epoch, step, layer):
    key = mix((int(seed) + 0x9E3779B97F4A7C15) & MASK64)
    for part in (purpose, epoch, step, layer):
        key = draw(key, part)
    return key


def below(bits, n):
    return (int(bits) >> 32) * int(n) >> 32


def unit(bits):
    return (int(bits) >> 11) / 2**53


def fill_draws(key, idents, out):
    for i, ident in enumerate(idents):
        out[i] = draw(key, ident)
