"""Large scratch arrays, used again: a training step asks for the same sizes over and over.

Fresh memory from the operating system is zeroed page by page on first touch, which costs as much
as a pass over the array. `empty` is `np.empty` out of memory that dropped arrays gave back.
"""

import threading
import weakref
from math import prod

import numpy as np

SMALL_BYTES = 1 << 18
"Below it, np.empty: malloc has such pieces at hand."

SLACK = 1.5
"A free piece is taken when it is at most so many times larger than needed."

GROWTH = 1.125
"How much larger than asked for a new piece is: the next step asks for a little more or less."

ALIGNMENT = 64

_free: list[np.ndarray] = []
_bytes = {"used": 0, "most used": 0, "free": 0}
_lock = threading.Lock()


def empty(shape: tuple[int, ...] | int, dtype: np.typing.DTypeLike = np.float32) -> np.ndarray:
    """An uninitialised C-contiguous array, aligned to a cache line.

    Its memory is given back when the array and all views of it are gone.
    """
    shape = (shape,) if isinstance(shape, (int, np.integer)) else shape
    dtype = np.dtype(dtype)
    num_bytes = prod(shape) * dtype.itemsize
    if num_bytes < SMALL_BYTES:
        return np.empty(shape, dtype)
    piece = _take(num_bytes)
    # Through a memoryview, so that the array, and not the piece, is what its views hold on to.
    array = np.frombuffer(memoryview(piece)[:num_bytes], dtype)  # type: ignore[arg-type]
    weakref.finalize(array, _give_back, piece).atexit = False
    return array.reshape(shape)


def release() -> None:
    """Give all memory that is not in use back to the operating system."""
    with _lock:
        _free.clear()
        _bytes.update({"free": 0, "most used": _bytes["used"]})


def _take(num_bytes: int) -> np.ndarray:
    """The smallest free piece that is large enough and not much larger, or a new one."""
    with _lock:
        fits = [n for n, p in enumerate(_free) if num_bytes <= len(p) <= SLACK * num_bytes]
        if fits:
            piece = _free.pop(min(fits, key=lambda n: len(_free[n])))
            _bytes["free"] -= len(piece)
        else:
            size = int(num_bytes * GROWTH)
            raw = np.empty(size + ALIGNMENT, np.uint8)
            skip = -raw.ctypes.data % ALIGNMENT
            piece = raw[skip : skip + size]
        _bytes["used"] += len(piece)
        _bytes["most used"] = max(_bytes["most used"], _bytes["used"])
        return piece


def _give_back(piece: np.ndarray) -> None:
    """Keep it; never more than were in use at once, those given back longest ago go first."""
    with _lock:
        _free.append(piece)
        _bytes["used"] -= len(piece)
        _bytes["free"] += len(piece)
        while _bytes["used"] + _bytes["free"] > _bytes["most used"] * GROWTH:
            _bytes["free"] -= len(_free.pop(0))
