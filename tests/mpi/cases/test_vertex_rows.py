"""Rows of vertices that ranks have together are those of one array, wherever they lie."""

import numpy as np
import pytest

from batchgnn.comm import vertex_rows
from batchgnn.comm.vertex_rows import DealtRows, OwnRows, SharedRows, make_rows


@pytest.mark.parametrize("where", ["shared", "dealt"])
def test_rows_are_those_of_one_array(grid, where):
    """Written by some ranks, perhaps by one alone; read by each; no row of vertex -1."""
    rows = make_rows(grid, grid.world, 11, 3, np.float64, where)
    kinds = {"shared": SharedRows, "dealt": DealtRows}
    assert isinstance(rows, OwnRows if grid.size == 1 else kinds[where])
    same, own = np.random.default_rng(1), np.random.default_rng([2, grid.rank])
    whole = np.zeros((11, 3))
    for _ in range(4):
        vertex, values = same.permutation(11)[:6], same.normal(size=(6, 3))
        counts = same.multinomial(6, np.full(grid.size, 1 / grid.size))
        begin = counts[: grid.rank].sum()
        rows.write(vertex, counts, values[begin : begin + counts[grid.rank]])
        whole[vertex] = values
        mine = np.append(own.integers(0, 11, own.integers(0, 9)), -1)
        expected = np.where(mine[:, None] < 0, 0, whole[mine])
        np.testing.assert_array_equal(rows.read(mine), expected)
    rows.reset()
    assert not rows.read(np.arange(11)).any()


def test_rows_are_dealt_where_a_host_has_no_room(grid, monkeypatch):
    monkeypatch.setattr(vertex_rows, "has_room", lambda num_bytes: grid.rank > 0)
    rows = make_rows(grid, grid.world, 11, 3, np.float32, "auto")
    assert isinstance(rows, OwnRows if grid.size == 1 else DealtRows)
