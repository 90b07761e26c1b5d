"""One pass over a shard's arcs finds what many would."""

import numpy as np
import pytest
from checks import assert_like_reference

from batchgnn.kernels.arcs import check_arcs

ROWS = {
    "sound": [[1, 5, 9], [], [0, 0, 7]],
    "nothing": [[], []],
    "falls": [[5, 1], [2]],
    "falls between rows": [[9], [1]],
    "negative": [[-1, 3]],
    "too large": [[3, 10]],
    "all outside": [[0, 1, 8, 9], [0, 9]],
}


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_check_arcs(rows, dtype):
    indptr = np.cumsum([0, *map(len, rows)])
    indices = np.array([u for row in rows for u in row], dtype)
    assert_like_reference(check_arcs, indptr, indices, 10, 2, 6, np.zeros(2, np.uint8))
