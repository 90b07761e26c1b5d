"""The operator of pipelined layers against dense blocks of the matrix, by its formula."""

import numpy as np
import pytest
from mpi.dealt import whole_graph

from batchgnn.nn.dropout import NO_DROPOUT
from batchgnn.operators.history import GRADIENTS, ChunkedGraph, ChunkOperator, History
from batchgnn.operators.local import LocalOperator

N, D, ORDER = 23, 3, [2, 0, 3, 1]
BOUNDS = np.array([0, 7, 7, 16, N])  # chunk 1 is empty
PRODUCTS = ["gather", "gather_self", "gather_beside"]


def chunked(aggregation, symmetric, rule):
    """A history of noise, and the operator of all rows at once."""
    block = whole_graph(N, symmetric)
    history = History(ChunkedGraph(block, aggregation, BOUNDS, symmetric=symmetric), rule)
    return history, LocalOperator(block, aggregation)


def dense_of(A):
    """A as a dense matrix: A I."""
    return A.gather(np.eye(N))


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize(
    ("aggregation", "symmetric"), [("mean", False), ("sum", True), ("gcn", False), ("gcn", True)]
)
def test_chunks_read_fresh_rows_before_them_and_history_behind(
    aggregation, symmetric, product, gradient
):
    rng, rule = np.random.default_rng(0), GRADIENTS[gradient]
    history, whole = chunked(aggregation, symmetric, rule)
    old, x, dh, before = rng.normal(size=(4, N, D))
    history.start(old.copy())
    matrix, own = dense_of(whole), product != "gather"
    chunk_of = np.searchsorted(BOUNDS, np.arange(N), side="right") - 1
    place = np.argsort(ORDER)[chunk_of]
    is_fresh = place[None, :] <= place[:, None]  # of the source, for the target
    aggregated = np.where(is_fresh, matrix, 0) @ x + np.where(is_fresh, 0, matrix) @ old
    beside = product == "gather_beside"
    if rule.keeps:
        history.gradients_like(before, D)[...] = before * scale_of(whole)
    for k in ORDER:
        rows = history.graph.rows(k)
        got = getattr(ChunkOperator(history, k), product)(x[rows])
        np.testing.assert_allclose(got[:, :D] - (own and not beside) * x[rows], aggregated[rows])
        if beside:
            np.testing.assert_array_equal(got[:, D:], x[rows])
    history.begin_backward()
    same = place[None, :] == place[:, None]
    present = np.where(same, matrix, 0) + rule.factor * np.where(is_fresh & ~same, matrix, 0)
    expected = present.T @ dh + rule.keeps * np.where(is_fresh, 0, matrix).T @ before + own * dh
    for k in ORDER[::-1]:
        rows = history.graph.rows(k)
        dy = np.hstack([dh, dh]) if beside else dh
        got = getattr(ChunkOperator(history, k), f"{product}_adjoint")(dy[rows].copy())
        np.testing.assert_allclose(got, expected[rows], rtol=1e-12, atol=1e-13)


def scale_of(whole):
    """What a kept gradient is multiplied by: the weight of its target, where that has one."""
    *_, weight, _ = whole.matrix()
    return weight[:, None] if len(weight) == N else 1.0


def test_rows_are_read_as_history_again_and_become_it():
    history, _ = chunked("sum", True, GRADIENTS["drop"])
    rng = np.random.default_rng(1)
    old, x = rng.normal(size=(2, N, D))
    history.start(old.copy())
    for is_snapshot, expected in ((False, old), (True, x)):
        for k in ORDER:
            ChunkOperator(history, k).gather(x[history.graph.rows(k)])
        for done, k in enumerate(ORDER[::-1], 1):
            history.put_back(k, is_snapshot=is_snapshot)
            for other in ORDER[::-1][:done]:
                rows = history.graph.rows(other)
                np.testing.assert_array_equal(history.rows[0].now[rows], old[rows])
        history.end_epoch(is_snapshot=is_snapshot)
        np.testing.assert_array_equal(history.rows[0].now, expected)
        np.testing.assert_array_equal(history.rows[0].old, expected)


def test_attention_over_one_chunk_is_that_of_all_rows():
    block, heads = whole_graph(N, False), 2
    graph = ChunkedGraph(block, "attention", np.array([0, N]), symmetric=False)
    A, whole = (
        ChunkOperator(History(graph, GRADIENTS["double"]), 0),
        LocalOperator(block, "attention"),
    )
    rng = np.random.default_rng(2)
    z, dh = rng.normal(size=(2, N, heads, D))
    s_src, s_dst = rng.normal(size=(2, N, heads))
    h, saved = A.attend(z, s_src, s_dst, NO_DROPOUT)
    expected, kept = whole.attend(z, s_src, s_dst, NO_DROPOUT)
    np.testing.assert_array_equal(h, expected)
    for got, wanted in zip(
        A.attend_adjoint(dh, saved), whole.attend_adjoint(dh, kept), strict=True
    ):
        np.testing.assert_array_equal(got, wanted)
