"""Exchanges between ranks: what arrives, the adjoint identity, long messages, byte counts."""

import numpy as np
import pytest

from batchgnn.comm import pieces
from batchgnn.comm.exchange import ArrayRows, RowExchange, exchange_counts, exchange_parts
from batchgnn.watch import trace


def wanted_rows(comm, rng):
    """Rank p owns 3 p rows (rank 0 none); every rank wants some of every rank, with repeats."""
    wanted = [rng.integers(0, 3 * p, 5 if p else 0) for p in range(comm.size)]
    return np.concatenate(wanted), np.array([len(w) for w in wanted])


def test_exchange_parts_delivers_in_rank_order(comm):
    counts = np.array([(comm.rank + p) % 3 for p in range(comm.size)])
    src = np.concatenate([np.full(n, 100 * comm.rank + p) for p, n in enumerate(counts)])
    received = exchange_counts(comm, counts, "t")
    dst = np.full(received.sum(), -1)
    exchange_parts(comm, src, counts, dst, received, "t")
    expected = [np.full((comm.rank + p) % 3, 100 * p + comm.rank) for p in range(comm.size)]
    np.testing.assert_array_equal(dst, np.concatenate(expected))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.uint64])
def test_long_messages_travel_in_pieces(comm, monkeypatch, dtype):
    monkeypatch.setattr(pieces, "PIECE_BYTES", 32)
    counts = np.full(comm.size, 17)
    src = (np.arange(17 * comm.size * 3).reshape(-1, 3) + comm.rank).astype(dtype)
    dst = np.zeros_like(src)
    exchange_parts(comm, src, counts, dst, counts, "t")
    base = np.arange(17 * comm.size * 3).reshape(comm.size, 17, 3)[comm.rank]
    for p in range(comm.size):
        np.testing.assert_array_equal(dst[17 * p : 17 * (p + 1)], (base + p).astype(dtype))


def test_long_messages_of_uneven_sizes_both_ways(comm):
    """More pieces than are asked for at a time, none for some ranks."""
    rows = [(p * (comm.rank + 1)) % 4 * 1_000_003 for p in range(comm.size)]
    received = exchange_counts(comm, np.array(rows), "t")
    src = np.concatenate([np.arange(n, dtype=np.int32) + 7 * p for p, n in enumerate(rows)])
    dst = np.full(received.sum(), -1, np.int32)
    exchange_parts(comm, src, rows, dst, received, "t")
    expected = [np.arange(n, dtype=np.int32) + 7 * comm.rank for n in received]
    np.testing.assert_array_equal(dst, np.concatenate(expected))


def test_forward_fetches_the_wanted_rows(comm):
    wanted, counts = wanted_rows(comm, np.random.default_rng([7, comm.rank]))
    x = 1000.0 * comm.rank + np.arange(3 * comm.rank)[:, None] * np.ones(2)
    out = RowExchange(comm, wanted, counts).forward(ArrayRows(x))
    owner = np.repeat(np.arange(comm.size), counts)
    np.testing.assert_array_equal(out[:, 0], 1000.0 * owner + wanted)


def test_backward_is_the_adjoint_of_forward(comm):
    rng = np.random.default_rng([7, comm.rank])
    wanted, counts = wanted_rows(comm, rng)
    plan, x = RowExchange(comm, wanted, counts), rng.normal(size=(3 * comm.rank, 2))
    out = plan.forward(ArrayRows(x))
    y = rng.normal(size=out.shape)
    left = comm.allreduce(np.vdot(out, y))
    right = comm.allreduce(np.vdot(x, plan.backward(y, len(x))))
    assert left == pytest.approx(right, rel=1e-12)


def test_counted_bytes_are_those_that_leave_the_rank(comm):
    counts = np.arange(comm.size)
    received = exchange_counts(comm, counts, "t")
    src, dst = np.zeros((counts.sum(), 5), np.float32), np.zeros((received.sum(), 5), np.float32)
    trace.reset()
    exchange_parts(comm, src, counts, dst, received, "named")
    counted = trace.snapshot()["main"]["collectives"] if comm.size > 1 else {}
    sent = counted["named"]["bytes"] if counted else 0
    assert sent == (counts.sum() - counts[comm.rank]) * 5 * 4 * (comm.size > 1)
