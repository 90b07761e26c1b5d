"""The exact order of chunks: nothing is computed before what it reads; a narrow order is found."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse

from batchgnn.graph.cut_rows import even_bounds
from batchgnn.graph.narrow import narrow_order
from batchgnn.modes.pipeline.wave import Waves


def quotient(pairs, num_shards):
    """What is needed of a manifest whose shards are joined in these pairs."""
    a, b = np.array(pairs).T
    ones = np.ones(2 * len(a))
    matrix = scipy.sparse.csr_array(
        (ones, (np.append(a, b), np.append(b, a))), shape=(num_shards, num_shards)
    )
    return SimpleNamespace(
        num_shards=num_shards, quotient_indptr=matrix.indptr, quotient_indices=matrix.indices
    )


def test_a_chain_of_mixed_numbers_is_found():
    place = np.random.default_rng(0).permutation(30)
    found = narrow_order(quotient([(place[k], place[k + 1]) for k in range(29)], 30))
    assert found.width == 1
    assert found.shards.tolist() in (place.tolist(), place[::-1].tolist())


def test_shards_that_are_in_order_stay_so():
    pairs = [(k, k + 2) for k in range(8)] + [(0, 1)]
    found = narrow_order(quotient(pairs, 10))
    assert sorted(found.shards) == list(range(10))
    assert found.width <= 2


@pytest.mark.parametrize(
    ("chunks", "width", "layers", "stages"),
    [(9, 1, 5, 2), (7, 2, 6, 4), (5, 4, 3, 1), (4, 0, 4, 3)],
)
def test_nothing_is_computed_before_what_it_reads(chunks, width, layers, stages):
    """Each chunk of each layer once each way; a stage before another needs a slot for its rows."""
    bounds = even_bounds(layers, stages)
    every = [
        Waves(chunks, width, layers, range(bounds[s], bounds[s + 1]), s, stages)
        for s in range(stages)
    ]
    at, back = {}, {}
    for stage, waves in enumerate(every):
        for way, slots in ((at, waves.forward()), (back, waves.backward())):
            found = [(n, k, slot) for slot, todo in slots for n, k in todo]
            way.update({(n, k): (slot, stage, place) for place, (n, k, slot) in enumerate(found)})
    assert at.keys() == back.keys() == {(n, k) for n in range(layers) for k in range(chunks)}
    used = {slot for slot, *_ in at.values()}
    assert used == {slot for slot, *_ in back.values()} == set(range(every[0].num_slots))
    assert every[0].num_slots == chunks + (layers - 1) * width + stages - 1

    def is_before(one, other):
        """Ended in a slot before, or in the same one of the same stage, and sooner there."""
        return one[2] < other[2] if one[1] == other[1] else one[0] < other[0]

    for n, k in at:
        for j in range(max(k - width, 0), min(k + width, chunks - 1) + 1):
            if n > 0:
                assert is_before(at[n - 1, j], at[n, k])
                assert is_before(back[n, j], back[n - 1, k])


def test_gradients_are_handed_on_when_they_are_complete():
    """From the last chunk to the first, each once, when all that read it are done."""
    for width in (0, 1, 3, 6):
        waves = Waves(7, width, 2, range(2), 0, 1)
        handed = [(done, k) for k in range(6, -1, -1) for done in waves.complete(k)]
        assert [done for done, _ in handed] == list(range(6, -1, -1))
        assert all(k <= max(done - width, 0) for done, k in handed)
