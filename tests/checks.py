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
    mine, theirs = ([a.copy() if isinstance(a, np.ndarray) else a for a in args] for _ in "ab")
    result, expected = kernel(*mine), reference(*theirs)
    assert result == expected
    for place, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        if isinstance(a, np.ndarray):
            np.testing.assert_allclose(a, b, rtol, atol, err_msg=f"argument {place} of {name}")


def assert_gradient(loss, at, grad, rng, eps=1e-6, rtol=1e-6, atol=1e-15):
    """Central difference along a random direction; `at` is moved in place and put back."""
    before, step = at.copy(), eps * rng.normal(size=at.shape)
    at += step
    up = loss()
    at[...] = before - step
    down = loss()
    at[...] = before
    np.testing.assert_allclose(np.vdot(grad, step), (up - down) / 2, rtol, atol)
