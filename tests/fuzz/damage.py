"""Damage of files that needs to know nothing of them."""

import random
from collections.abc import Iterable
from pathlib import Path


def flip(rng: random.Random, path: Path) -> str:
    """One bit of a file, anywhere in it."""
    data = bytearray(path.read_bytes())
    bit = rng.randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    return f"{path.name}: bit {bit} flipped"


def cut(rng: random.Random, path: Path) -> str:
    """The end of a file is gone."""
    data = path.read_bytes()
    keep = rng.randrange(len(data))
    path.write_bytes(data[:keep])
    return f"{path.name}: {keep} of {len(data)} bytes left"


def grow(rng: random.Random, path: Path) -> str:
    """Something follows the end of a file."""
    path.write_bytes(path.read_bytes() + rng.randbytes(rng.randint(1, 600)))
    return f"{path.name}: longer"


def zero(rng: random.Random, path: Path) -> str:
    """A page of a file was never written."""
    data = bytearray(path.read_bytes())
    begin = rng.randrange(len(data))
    end = min(len(data), begin + rng.choice([64, 512, 4096]))
    if not any(data[begin:end]):
        return flip(rng, path)
    data[begin:end] = bytes(end - begin)
    path.write_bytes(data)
    return f"{path.name}: bytes {begin} to {end} are 0"


def swap(rng: random.Random, path: Path) -> str:
    """A file is of random bytes."""
    path.write_bytes(rng.randbytes(rng.choice([0, 1, 100, 5000])))
    return f"{path.name}: {path.stat().st_size} random bytes"


BYTES = (flip, flip, flip, flip, cut, grow, zero, swap)
"Any of these."


def damage(rng: random.Random, paths: Iterable[Path]) -> str:
    """Damage one of the files; what was done."""
    return rng.choice(BYTES)(rng, rng.choice(sorted(paths)))
