"""Products cut into parts: those of NumPy, for any number of threads the same."""

import numpy as np
import pytest

from batchgnn.base.threads import for_each, use_threads
from batchgnn.nn.linear import (
    ALONE_ROWS,
    MOST_PARTS,
    PART_ROWS,
    _parts,
    linear,
    linear_backward,
    linear_onto,
)


@pytest.mark.parametrize("rows", [0, 1, ALONE_ROWS, 3 * PART_ROWS + 5])
@pytest.mark.parametrize(("d_in", "d_out"), [(8, 3), (3, 8), (70, 40)])
def test_products_are_those_of_numpy(rows, d_in, d_out):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(rows, d_in)), rng.normal(size=(rows, d_out))
    weight, dweight = rng.normal(size=(d_in, d_out)), np.full((d_in, d_out), np.nan)
    results = []
    for threads in (1, 2):
        with use_threads(threads):
            y, dx = linear(x, weight), linear_backward(dy, x, weight, dweight)
            results.append((y, dx, dweight.copy()))
            np.testing.assert_allclose(dweight, x.T @ dy, atol=1e-9)
    np.testing.assert_allclose(results[0][0], x @ weight)
    np.testing.assert_allclose(results[0][1], dy @ weight.T)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)
    assert linear_backward(dy, x, weight, dweight, need_dx=False) is None


def test_each_part_is_done_once_and_errors_arrive():
    done = []
    with use_threads(2):
        for_each(done.append, 100)
        with pytest.raises(ZeroDivisionError):
            for_each(lambda k: 1 / (3 - k), 8)
    assert sorted(done) == list(range(100))
    for_each(done.append, 3)
    assert done[100:] == [0, 1, 2]


@pytest.mark.parametrize("rows", [0, 1, 2 * PART_ROWS + 5])
def test_products_are_added_onto_what_is_there(rows):
    rng = np.random.default_rng(1)
    x, dy, weight = rng.normal(size=(rows, 8)), rng.normal(size=(rows, 3)), rng.normal(size=(8, 3))
    y, dx = dy.copy(), x.copy()
    with use_threads(2):
        linear_onto(x, weight, y)
        linear_onto(dy, weight.T, dx)
    np.testing.assert_allclose(y, dy + x @ weight, atol=1e-12)
    np.testing.assert_allclose(dx, x + dy @ weight.T, atol=1e-12)


@pytest.mark.parametrize("rows", [0, 1, ALONE_ROWS - 1, ALONE_ROWS, 1000, 5900, 130_000, 10**7])
def test_parts_are_all_rows_in_about_equal_pieces_for_two_or_four_threads(rows):
    parts = _parts(rows)
    assert [k for part in parts for k in (part.start, part.stop)][1:-1] == [
        k for part in parts[1:] for k in (part.start, part.start)
    ]
    assert sum(part.stop - part.start for part in parts) == rows
    assert len(parts) <= MOST_PARTS
    if rows >= ALONE_ROWS:
        assert len(parts) % 4 == 0
        sizes = [part.stop - part.start for part in parts]
        assert max(sizes) - min(sizes) < len(parts)
