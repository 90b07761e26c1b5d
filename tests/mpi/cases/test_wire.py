"""Rows that are rounded to travel: half the bytes, numbers near those of whole ones, labelled."""

import numpy as np
import pytest
from mpi.together import (
    GRAPHS,
    WHOLE,
    changed,
    counted_epoch,
    on_one_rank,
    sent_bytes,
    train_whole,
    written,
)

from batchgnn.base.errors import ConfigError
from batchgnn.modes.assembly import resolved
from batchgnn.modes.open import make_mode
from batchgnn.operators.wire import narrowed
from batchgnn.run.session import open_session

BITS = np.dtype(np.int16)
EXCHANGES = ("halo", "halo adjoint", "split", "join")
WAYS = {
    "rows": {"mode": "fullgraph", "halo": "rows"},
    "cover": {"mode": "fullgraph", "overlap": True},
    "columns": {"mode": "tensor"},
    "chunks of columns": {"mode": "tensor", "chunks": 3, "overlap": True},
    "groups": {"mode": "tensor", "tensor_ways": 1},
}
alone = on_one_rank(train_whole)


@pytest.fixture(scope="module")
def shards(shared_folder):
    return written(shared_folder / "shards", **GRAPHS["directed weighted"])


def settings_of(way, **more):
    return changed(changed(WHOLE, **WAYS[way]), aggregate_cache="off", dropout=0.0, **more)


def test_numbers_are_rounded_to_nearest_and_ties_to_even():
    x = np.array([[1, 1 + 2.0**-8, 1 + 3 * 2.0**-8, -1 - 2.0**-7, 1e38, np.inf, 0]], np.float32)
    expected = np.array([[1, 1, 1 + 2.0**-6, -1 - 2.0**-7, 1e38, np.inf, 0]], np.float32)
    found = narrowed(x, BITS)
    assert found.dtype == BITS
    wide = (found.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)
    np.testing.assert_allclose(wide, expected, rtol=2.0**-8)
    np.testing.assert_array_equal(wide[0, :4], expected[0, :4])
    assert narrowed(x, x.dtype) is x


@pytest.mark.parametrize("model", ["sage", "gcn", "gin"])
@pytest.mark.parametrize("way", WAYS)
def test_products_are_near_and_their_bytes_are_half(comm, shards, way, model):
    """An element is off by at most 2^-8 of the sum of the sizes of its terms, for each rounding."""
    sums, far = [], 0
    for wire in ("float32", "bfloat16"):
        with open_session(shards, settings_of(way, model=model, wire=wire), comm) as session:
            mode = make_mode(session)
            A, rng = mode.graph.operators[1], np.random.default_rng(comm.rank)
            x = rng.normal(size=(session.own.num_own, 12)).astype(np.float32)
            sums.append([f(each) for f in (A.gather, A.gather_adjoint) for each in (x, abs(x))])
            counts = counted_epoch(mode)
        sums[-1].append(sent_bytes(comm, counts, *EXCHANGES))
    (*exact, num_bytes), (*rounded, num_halves) = sums
    for (whole, most), (found, _) in zip(pairs(exact), pairs(rounded), strict=True):
        assert (abs(found - whole) <= 3 * 2.0**-8 * most + 1e-6).all()
        far += int((found != whole).sum())
    assert num_halves * 2 == num_bytes
    assert (comm.allreduce(far) > 0) == (comm.size > 1 or WAYS[way]["mode"] == "tensor")


def pairs(four):
    return four[:2], four[2:]


@pytest.mark.parametrize("way", WAYS)
def test_training_goes_as_with_whole_rows(comm, shards, way):
    settings = settings_of(way, model="gcn")
    whole = alone(shards, changed(settings, overlap=False), dtype=np.float32, epochs=8).losses
    rounding = changed(settings, wire="bfloat16")
    found = train_whole(comm, shards, rounding, dtype=np.float32, epochs=8).losses
    np.testing.assert_allclose(found, whole, rtol=1e-2)
    assert found[-1] < found[0]


@pytest.mark.parametrize("way", ["cover", "columns"])
def test_a_run_says_that_it_is_approximate(comm, shards, way):
    with open_session(shards, settings_of(way, wire="bfloat16"), comm) as session:
        assert make_mode(session).exactness == "approximate: rows travel as bfloat16"
    with open_session(shards, settings_of(way), comm) as session:
        assert make_mode(session).exactness == "exact"


@pytest.mark.parametrize("mode", ["fullgraph", "tensor"])
def test_attention_is_not_rounded(mode):
    with pytest.raises(ConfigError, match=r"--wire bfloat16 .* --model gat: take sage, gcn or gin"):
        resolved(changed(WHOLE, mode=mode, model="gat", wire="bfloat16"), "multiclass")
