"""Corner-case graphs and random blocks for tests of kernels, operators, layers and models."""

from itertools import pairwise

import numpy as np

from batchgnn.graph.block import Block

EDGES = {  # (source, target) pairs on 4 vertices
    "no edges": [],
    "path": [(0, 1), (1, 2), (2, 3)],
    "self loop": [(2, 2)],
    "self loops among others": [(0, 0), (1, 0), (2, 1), (1, 1), (1, 1)],
    "double edge": [(0, 1), (0, 1)],
    "hub in": [(u, 0) for u in range(4)],
    "hub out": [(3, v) for v in range(4)],
}


def csr_from(edges, n):
    """indptr int64 (n + 1,), indices int32: sources by target, in the order given."""
    ordered = sorted(edges, key=lambda edge: edge[1])
    indptr = np.zeros(n + 1, np.int64)
    for _, target in ordered:
        indptr[target + 1 :] += 1
    return indptr, np.array([source for source, _ in ordered], np.int32)


def random_csr(rng, n, n_src, most):
    """0 to `most` edges into each of n targets, from any source, repeats and loops among them."""
    indptr = np.concatenate([[0], np.cumsum(rng.integers(0, most + 1, n))])
    return indptr, rng.integers(0, n_src, indptr[-1]).astype(np.int32)


def random_block(rng, n, n_src, most=4, weighted=False):
    """A sampled block: some degrees exceed the number of drawn edges; ids do not ascend."""
    indptr, indices = random_csr(rng, n, n_src, most)
    drawn = np.diff(indptr)
    return Block(
        indptr,
        indices,
        rng.permutation(10 * n_src)[:n_src].astype(np.uint32),
        np.where(drawn > 0, drawn + rng.integers(0, 3, n), 0),
        rng.uniform(0.5, 2, len(indices)).astype(np.float32) if weighted else None,
        rng.uniform(0.2, 1, n_src).astype(np.float32),
    )


def block_chain(rng, sizes, **options):
    """Blocks from the input to the output: targets sizes[k + 1] of sources sizes[k]."""
    return [random_block(rng, n, n_src, **options) for n_src, n in pairwise(sizes)]
