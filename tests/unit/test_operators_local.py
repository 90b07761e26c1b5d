"""The local operator against dense matrices, and its adjoints against the dot test."""

import numpy as np
import pytest
from blocks import EDGES, csr_from, random_block

from batchgnn.graph.block import Block
from batchgnn.nn.dropout import NO_DROPOUT, Dropout
from batchgnn.operators.local import LocalOperator

BLOCKS = {
    name: Block(
        *csr_from(edges, 4),
        np.array([9, 7, 8, 1], np.uint32),
        np.diff(csr_from(edges, 4)[0]),
        None,
        np.array([0.5, 0.25, 1, 0.75], np.float32),
    )
    for name, edges in EDGES.items()
}
BLOCKS["sampled"] = random_block(np.random.default_rng(0), 20, 50)
BLOCKS["sampled, weighted"] = random_block(np.random.default_rng(1), 20, 50, weighted=True)
BLOCKS["no targets"] = random_block(np.random.default_rng(2), 0, 5)

blocks = pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)


def dense(block, aggregation):
    """The definition of operators/README.md, entry by entry."""
    A = np.zeros((block.num_targets, block.num_sources))
    for v in range(block.num_targets):
        edges = range(block.indptr[v], block.indptr[v + 1])
        for e in edges:
            u = block.indices[e]
            if aggregation == "mean":
                A[v, u] += 1 / len(edges)
            if aggregation == "sum":
                A[v, u] += block.degree[v] / len(edges)
            if aggregation == "gcn" and u != v:
                w = 1 if block.weight is None else block.weight[e]
                norm = float(block.scale[u]) * float(block.scale[v])
                A[v, u] += norm * w * block.degree[v] / len(edges)
        if aggregation == "gcn":
            A[v, v] = float(block.scale[v]) ** 2
    return A


@blocks
@pytest.mark.parametrize("aggregation", ["mean", "sum", "gcn"])
def test_gather_and_its_adjoint_are_the_dense_products(block, aggregation):
    rng = np.random.default_rng(3)
    A, matrix = LocalOperator(block, aggregation), dense(block, aggregation)
    x, dh = rng.normal(size=(block.num_sources, 3)), rng.normal(size=(block.num_targets, 3))
    np.testing.assert_allclose(A.gather(x), matrix @ x, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(A.gather_adjoint(dh), matrix.T @ dh, rtol=1e-6, atol=1e-6)
    assert np.vdot(A.gather(x), dh) == pytest.approx(np.vdot(x, A.gather_adjoint(dh)), rel=1e-12)


@blocks
@pytest.mark.parametrize("aggregation", ["mean", "sum"])
def test_gather_with_own_rows_and_its_adjoint(block, aggregation):
    rng = np.random.default_rng(3)
    A, matrix = LocalOperator(block, aggregation), dense(block, aggregation)
    x, dh = rng.normal(size=(block.num_sources, 3)), rng.normal(size=(block.num_targets, 3))
    dboth, mine = rng.normal(size=(block.num_targets, 6)), x[: block.num_targets]
    both = np.hstack([matrix @ x, mine])
    np.testing.assert_allclose(A.gather_self(x), matrix @ x + mine, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(A.gather_beside(x), both, rtol=1e-6, atol=1e-6)
    for forward, adjoint, dy in (
        (A.gather_self, A.gather_self_adjoint, dh),
        (A.gather_beside, A.gather_beside_adjoint, dboth),
    ):
        assert np.vdot(forward(x), dy) == pytest.approx(np.vdot(x, adjoint(dy)), rel=1e-12)


@blocks
def test_targets_and_its_adjoint(block):
    rng = np.random.default_rng(4)
    A, x = LocalOperator(block, "mean"), rng.normal(size=(block.num_sources, 3))
    y, dx = rng.normal(size=(block.num_targets, 3)), np.zeros_like(x)
    A.add_targets(dx, y)
    assert np.vdot(A.targets(x), y) == pytest.approx(np.vdot(x, dx), rel=1e-12)
    np.testing.assert_array_equal(A.target_ids, block.ids[: block.num_targets])
    np.testing.assert_array_equal(A.source_ids, block.ids)


DROPOUTS = {"no dropout": NO_DROPOUT, "dropout": Dropout(np.uint64(7), 0.5)}


@blocks
@pytest.mark.parametrize("dropout", DROPOUTS.values(), ids=DROPOUTS)
def test_attention_of_fixed_scores_is_linear_with_its_adjoint(block, dropout):
    rng = np.random.default_rng(5)
    A = LocalOperator(block, "attention")
    z = rng.normal(size=(block.num_sources, 2, 3))
    s_src, s_dst = rng.normal(size=(block.num_sources, 2)), rng.normal(size=(block.num_targets, 2))
    h, saved = A.attend(z, s_src, s_dst, dropout)
    dh = rng.normal(size=h.shape)
    dz, _, _ = A.attend_adjoint(dh, saved)
    assert np.vdot(h, dh) == pytest.approx(np.vdot(z, dz), rel=1e-12)


@blocks
@pytest.mark.parametrize("dropout", DROPOUTS.values(), ids=DROPOUTS)
def test_attention_scores_have_central_differences(block, dropout):
    rng = np.random.default_rng(6)
    A = LocalOperator(block, "attention")
    z = rng.normal(size=(block.num_sources, 2, 3))
    scores = [rng.normal(size=(n, 2)) for n in (block.num_sources, block.num_targets)]
    h, saved = A.attend(z, *scores, dropout)
    dh = rng.normal(size=h.shape)
    _, *grads = A.attend_adjoint(dh, saved)
    eps = 1e-6
    for which, grad in enumerate(grads):
        step = eps * rng.normal(size=grad.shape)
        moved = []
        for sign in (1, -1):
            pair = list(scores)
            pair[which] = scores[which] + sign * step
            moved.append(np.vdot(A.attend(z, *pair, dropout)[0], dh))
        assert np.vdot(grad, step) == pytest.approx((moved[0] - moved[1]) / 2, rel=1e-6, abs=1e-14)


def test_attention_of_equal_scores_is_the_mean_over_neighbours_and_self():
    block = BLOCKS["hub in"]  # 0, 1, 2, 3 -> 0: the edge 0 -> 0 is the self-loop
    z = np.arange(4.0).reshape(4, 1, 1)
    h, _ = LocalOperator(block, "attention").attend(
        z, np.zeros((4, 1)), np.zeros((4, 1)), NO_DROPOUT
    )
    np.testing.assert_allclose(h[:, 0, 0], [1.5, 1, 2, 3])


def test_expected_sum_of_samples_is_the_whole_sum():
    """One edge of three drawn, each in turn: the operators' mean is that of all three."""
    x = np.random.default_rng(7).normal(size=(4, 2))
    ids, scale = np.arange(4, dtype=np.uint32), np.array([0.5, 0.25, 1, 0.75], np.float32)

    def gather(sources, aggregation):
        indptr = np.array([0, len(sources)])
        block = Block(indptr, np.array(sources, np.int32), ids, np.array([3]), None, scale)
        return LocalOperator(block, aggregation).gather(x)

    for aggregation in ("mean", "sum", "gcn"):
        drawn = np.mean([gather([u], aggregation) for u in (1, 2, 3)], axis=0)
        np.testing.assert_allclose(drawn, gather([1, 2, 3], aggregation), rtol=1e-6)


def test_gcn_without_norms_is_refused():
    block = random_block(np.random.default_rng(8), 2, 3).with_scale(None)
    with pytest.raises(ValueError, match="norms"):
        LocalOperator(block, "gcn")
