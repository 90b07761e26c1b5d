"""Half-width rows: own and remote ones rounded alike, half the bytes, float32 arithmetic."""

from dataclasses import replace

import numpy as np
import pytest
from graphs import learnable_graph, shards_of
from mpi.together import SAMPLED, changed, collectives, on_one_rank
from mpi4py import MPI

from batchgnn.base.errors import DataError
from batchgnn.kernels.half import as_bits, as_floats, narrow_rows
from batchgnn.modes.open import make_mode
from batchgnn.partition.partition import partition
from batchgnn.run.session import open_session
from batchgnn.sampling.inference import Inference
from batchgnn.watch import trace

HALVES = {"float16": np.float16, "bfloat16": np.int16}


def rounded(features, name):
    """float32: the numbers that stay of the features."""
    out = np.empty(features.shape, HALVES[name])
    narrow_rows(features, as_bits(out))
    return as_floats(out).astype(np.float32)


@pytest.fixture(scope="module")
def stored(shared_folder):
    """Shards of one graph by name: as it is, cut in half width, and rounded but of full width."""
    folder, graph = shared_folder, learnable_graph()
    if MPI.COMM_WORLD.rank == 0:
        shards_of(graph, folder / "float32")
        for name in HALVES:
            partition(graph, folder / name, "random", 4, 0, feature_dtype=name)
            other = replace(graph, features=rounded(graph.features, name))
            shards_of(other, folder / f"rounded to {name}")
        graph.features[399, 3] = 1e5
        shards_of(graph, folder / "large")
    MPI.COMM_WORLD.Barrier()
    return folder


def train(comm, shards, name=None, **options):
    """Losses of the epochs, exact logits by vertex, bytes of fetched rows, the label."""
    with open_session(shards, changed(SAMPLED, feature_dtype=name, **options), comm) as session:
        mode, losses = make_mode(session), []
        trace.reset()
        for epoch in range(3):
            sums = sum(np.array([r.loss_sum, r.num_seeds]) for r in mode.epoch(epoch))
            losses.append(sums)
        counted = collectives(trace.snapshot())
        sent = comm.allreduce(counted.get("input rows", {"bytes": 0})["bytes"])
        losses = comm.allreduce(np.array(losses))
        logits = Inference(session.grid.world, session.own, session.model, 1 << 15).logits()
        order = np.argsort(session.own.original_id)
        return losses[:, 0] / losses[:, 1], logits[order], sent, mode.exactness


@on_one_rank
def losses_of_one_rank(comm, shards, name, model):
    return train(comm, shards, name, model=model)[0]


@pytest.mark.parametrize("name", HALVES)
@pytest.mark.parametrize("model", ["sage", "gcn", "gin", "gat"])
def test_ranks_train_as_one_on_half_width_rows(comm, stored, name, model):
    one = losses_of_one_rank(stored / "float32", name, model)
    losses, _, _, _ = train(comm, stored / "float32", name, model=model)
    np.testing.assert_allclose(losses, one, rtol=1e-5)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", HALVES)
def test_narrowed_on_reading_in_the_shards_or_before_is_the_same(comm, stored, name):
    """Also the same as float32 features that lost their digits before: arithmetic is float32."""
    losses, logits, sent, label = train(comm, stored / "float32", name)
    assert label == f"exact; features rounded to {name}"
    again, same, as_much, said = train(comm, stored / name)
    assert (as_much, said) == (sent, label)
    np.testing.assert_array_equal(again, losses)
    np.testing.assert_array_equal(same, logits)
    wide, widely, twice, exact = train(comm, stored / f"rounded to {name}")
    assert (twice, exact) == (2 * sent, "exact")
    assert (sent > 0) == (comm.size > 1)
    np.testing.assert_array_equal(wide, losses)
    np.testing.assert_array_equal(widely, logits)
    full = train(comm, stored / "float32")
    assert full[3] == "exact"
    assert not np.array_equal(full[0], losses)


@pytest.mark.parametrize("name", HALVES)
def test_copies_of_remote_rows_are_as_wide(comm, stored, name):
    losses, _, sent, _ = train(comm, stored / "float32", name)
    cached, _, fewer, _ = train(comm, stored / "float32", name, feature_cache="2K")
    np.testing.assert_array_equal(cached, losses)
    assert fewer < sent or comm.size == 1


def test_numbers_too_large_for_float16_are_refused(comm, stored):
    """By the rank that owns them; bfloat16 holds them."""
    with open_session(stored / "large", changed(SAMPLED, feature_dtype="float16"), comm) as session:
        if 399 in session.own.original_id:
            with pytest.raises(DataError, match=r"large: feature 3 of vertex 399 is 100000, too"):
                session.own.load_features()
        else:
            session.own.load_features()
    with open_session(
        stored / "large", changed(SAMPLED, feature_dtype="bfloat16"), comm
    ) as session:
        session.own.load_features()
        assert session.own.copied_feature_bytes == session.own.num_own * 12 * 2
