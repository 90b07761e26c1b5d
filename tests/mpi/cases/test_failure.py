"""Failing together, the grid and background items, on any number of ranks."""

import re
import socket
import threading

import pytest

from batchgnn.base.bytes import MemoryPlan
from batchgnn.base.errors import MemoryPlanError, RankError, StoreError
from batchgnn.comm.background import Background
from batchgnn.comm.failure import Watchdog, abort_on_exception, fail_together
from batchgnn.comm.grid import start
from batchgnn.comm.values import values_of_all
from batchgnn.watch import trace


def test_success_everywhere_raises_nothing(comm):
    with fail_together(comm, "opening"):
        pass


def test_one_rank_fails_and_all_raise(comm):
    last = comm.size - 1
    with pytest.raises(RankError) as caught, fail_together(comm, "opening shards"):
        if comm.rank == last:
            raise KeyError("shard 7")
    head, who, *_ = text = str(caught.value).splitlines()
    assert head.startswith(f"opening shards failed on 1 of {comm.size} ranks; at collective ")
    assert head.endswith(", agreement (opening shards)")
    assert who.startswith(f"  rank {last} (host {socket.gethostname()}): KeyError")
    assert any("Traceback" in line for line in text)
    assert caught.value.exit_status == 1
    assert caught.value.on_all_ranks


def test_a_user_error_of_one_rank_keeps_type_and_text_everywhere(comm):
    trace.mark("after epoch 2 step 9")
    with pytest.raises(StoreError) as caught, fail_together(comm, "opening"):
        if comm.rank == 0:
            raise StoreError("shards/: missing")
    trace.mark("")
    text, *where = str(caught.value).splitlines()
    assert text == "shards/: missing"
    said = r"  on 1 of \d ranks: rank 0 \(host .+\); "
    said += r"after epoch 2 step 9, at collective \d+, agreement"
    assert [bool(re.match(said, line)) for line in where] == [True] * (comm.size > 1)


def test_a_user_error_of_all_ranks_names_none(comm):
    with pytest.raises(StoreError, match=r"^shards/: missing$"), fail_together(comm, "opening"):
        raise StoreError("shards/: missing")


def test_different_user_errors_are_listed_without_traceback(comm):
    if comm.size == 1:
        pytest.skip("one rank has one error")
    with pytest.raises(RankError) as caught, fail_together(comm, "opening"):
        raise StoreError(f"shard {comm.rank} is cut short")
    for rank in range(comm.size):
        said = rf"\n  rank {rank} \(host .+\): StoreError: shard {rank} is cut short"
        assert re.search(said, str(caught.value))
    assert "Traceback" not in str(caught.value)
    assert caught.value.exit_status == 2


def test_what_all_ranks_lack_is_said_once_by_the_one_that_lacks_most(comm):
    with pytest.raises(MemoryPlanError) as caught, fail_together(comm, "opening"):
        MemoryPlan({f"part {comm.rank}": (comm.rank + 2) << 30}).require(1 << 30, "Do so.")
    text, *where = str(caught.value).splitlines()
    assert f"needs {comm.size + 1}.0 GiB" in text
    assert caught.value.exit_status == 2
    if comm.size == 1:
        assert where == []
    else:
        head = f"  on {comm.size} of {comm.size} ranks; rank {comm.size - 1} (host "
        assert where == [f"{head}{socket.gethostname()}) lacks most"]


def test_an_error_shared_by_all_ranks_passes_the_abort(comm):
    with (
        pytest.raises(StoreError),
        abort_on_exception(comm),
        fail_together(comm, "opening"),
    ):
        raise StoreError("missing")


def test_the_grid_knows_its_node(grid):
    assert grid.size == grid.world.size
    assert 1 <= grid.node_size <= grid.size
    assert 0 <= grid.node_rank < grid.node_size
    hosts = grid.world.allgather(grid.host)
    assert hosts.count(grid.host) == grid.node_size


def test_names_of_communicators_are_those_of_all_their_ranks_and_new_in_every_grid(grid):
    some = grid.some(grid.rank % 2)
    names = [grid.world.name, grid.background.name, some.world.name, some.background.name]
    with start() as other:
        names.append(other.world.name)
    said = values_of_all(grid.world, names)
    assert len({name for each in said for name in each}) == 3 + 2 * min(grid.size, 2)
    assert all(each == names for each in values_of_all(some.world, names))
    assert grid.members[grid.world.name] == list(range(grid.size))
    assert grid.members[some.world.name] == list(range(grid.rank % 2, grid.size, 2))


def test_collectives_of_a_group_do_not_count_among_those_of_all(grid):
    group = grid.some(grid.rank % 2).world
    for _ in range(1 + 4 * (grid.rank % 2)):
        with fail_together(group, "a group's work"):
            pass
    with fail_together(grid.world, "the work of all"):
        pass
    calls = trace.last_calls_on()
    assert calls[group.name].number == 1 + 4 * (grid.rank % 2)
    assert calls[grid.world.name].number == 1
    assert trace.last_calls()["main"] == calls[grid.world.name]


def test_the_watchdog_leaves_slow_but_living_ranks_alone(grid):
    with Watchdog(grid, timeout_s=5.0):
        for step in range(20):
            with trace.collective("meeting", grid.world.name):
                grid.world.Barrier()
            if grid.rank == step % grid.size:
                threading.Event().wait(0.05)


def test_background_items_may_communicate_beside_the_main_thread(grid):
    if not grid.thread_multiple:
        pytest.skip("this MPI is not thread-safe")
    rank, size = grid.rank, grid.size

    def make(k):
        return grid.background.allreduce(k + rank)

    with Background(make, 50) as items:
        for k, item in enumerate(items):
            assert item == size * k + size * (size - 1) // 2
            assert grid.world.allreduce(1) == size


def test_ranks_that_stop_early_have_made_the_same_items(grid):
    if not grid.thread_multiple:
        pytest.skip("this MPI is not thread-safe")
    made = []

    def make(k):
        made.append(grid.background.allreduce(k))
        return k

    with Background(make, 50) as items:
        for k in items:
            if k == 7:
                break
    assert grid.world.allgather(len(made)) == [9] * grid.size


def test_counts_of_all_ranks_are_joined(grid):
    trace.reset()
    with trace.phase("sample"), trace.collective("rows", grid.world.name, 100 * (grid.rank + 1)):
        grid.world.Barrier()
    line = trace.merge(values_of_all(grid.world, trace.counts()))
    assert line["collective_bytes"]["rows"] == 50 * grid.size * (grid.size + 1)
    assert line["collective_calls"]["rows"] == 1
    assert line["phase_seconds"]["sample"] >= line["collective_seconds"]["rows"] - 1e-6 >= -1e-6
    assert len(line["peak_memory_bytes"]) == grid.size
