"""Assertions that serve many tests: kernel = reference, gradient = central difference."""

from importlib import import_module

import numpy as np


def poison(shape, dtype=np.float32):
    """An output that a kernel must overwrite in full."""
    return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else 77, dtype)


def assert_like_reference(kernel, *args, rtol=1e-5, atol=1e-6):
    """The kernel and its namesake leave the same in every array, and return the same."""
    function = getattr(kernel, "py_func", kernel)
    name, module = function.__name__, function.__module__.rpartition(".")[2]
    reference = getattr(import_module(f"reference.{module}"), name)
    mine, theirs = (copy_of(args) for _ in "ab")
    result, expected = kernel(*mine), reference(*theirs)
    assert result == expected
    for (place, a), (_, b) in zip(arrays_in(mine), arrays_in(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol, atol, err_msg=f"argument {place} of {name}")


def copy_of(value):
    """An array, or a record with arrays in it, of its own memory."""
    if isinstance(value, tuple):
        copies = map(copy_of, value)
        return type(value)(*copies) if hasattr(value, "_fields") else tuple(copies)
    return value.copy() if isinstance(value, np.ndarray) else value


def arrays_in(value, place=""):
    """(where, array) of all arrays among arguments and in their records."""
    if isinstance(value, np.ndarray):
        yield place, value
    elif isinstance(value, tuple):
        names = getattr(value, "_fields", range(len(value)))
        for name, each in zip(names, value, strict=True):
            yield from arrays_in(each, f"{place}.{name}".lstrip("."))


def assert_gradient(loss, at, grad, rng, eps=1e-6, rtol=1e-6, atol=1e-15):
    """Central difference along a random direction; `at` is moved in place and put back."""
    before, step = at.copy(), eps * rng.normal(size=at.shape)
    at += step
    up = loss()
    at[...] = before - step
    down = loss()
    at[...] = before
    np.testing.assert_allclose(np.vdot(grad, step), (up - down) / 2, rtol, atol)
