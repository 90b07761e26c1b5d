"""Checkpoints written by some ranks and read by others: every kind of state, every failure."""

from contextlib import contextmanager

import numpy as np
import pytest
from mpi4py import MPI
from saved_states import NUM_VERTICES, assert_same, assert_same_state, dealt, state_of

from batchgnn.base.errors import BatchGNNError, RankError, StoreError
from batchgnn.comm.grid import Grid
from batchgnn.graph.ownership import Ownership
from batchgnn.run import checkpoints
from batchgnn.run.checkpoints import Checkpoints
from batchgnn.store import mode_state
from batchgnn.store.mode_state import ModeState

FINGERPRINT = "f" * 64


@pytest.fixture
def path(shared_folder, request, comm):
    """A folder of this test, seen by all ranks."""
    comm.Barrier()
    return shared_folder / request.node.name


@contextmanager
def grid_of(comm, count):
    """A job of the first `count` ranks; None on the others."""
    some = comm.Split(0 if comm.rank < count else MPI.UNDEFINED)
    if some == MPI.COMM_NULL:
        yield None
    else:
        with Grid(some) as grid:
            yield grid
        some.Free()
    comm.Barrier()


def shards(num_ranks):
    """Whole shards, dealt round; the first rank of several has an empty one only."""
    offset = np.array([0, 0, 5, 6, 6, 14, 20, NUM_VERTICES])
    owners = np.arange(7) % num_ranks
    owners[(owners == 0) & (np.arange(7) > 0)] = num_ranks - 1
    ownership = Ownership(offset, owners)
    return [ownership.own_ids(rank).astype(np.uint32) for rank in range(num_ranks)]


def even_pieces(num_ranks):
    """As mode tensor deals rows: a piece of all ids each."""
    cuts = [NUM_VERTICES * p // num_ranks for p in range(1, num_ranks)]
    return dealt(cuts, range(num_ranks), num_ranks)


def mixed(num_ranks):
    """Pieces of shards, in no order of ranks."""
    cuts = [2, 5, 9, 17, 18]
    return dealt(cuts, [(5 * k + 3) % num_ranks for k in range(6)], num_ranks)


DEALS = [shards, even_pieces, mixed]


def write(grid, path, ids, *, step=1, trainer=0, tag=0, keep=2):
    saved = Checkpoints(grid, path, keep)
    progress = {"epoch": 0, "step": step, "best": -np.inf}
    saved.write(FINGERPRINT, progress, state_of(ids, trainer, tag), ids)
    return saved


def names(folder):
    return sorted(each.name for each in folder.iterdir())


@pytest.mark.parametrize("deal", DEALS)
def test_any_ranks_read_what_any_ranks_wrote(comm, path, deal):
    for writers in range(1, comm.size + 1):
        with grid_of(comm, writers) as grid:
            if grid:
                write(grid, path, deal(writers)[grid.rank], step=writers, tag=writers)
        for readers in range(1, comm.size + 1):
            with grid_of(comm, readers) as grid:
                for other in DEALS if grid else []:
                    ids = other(readers)[grid.rank]
                    progress, found = Checkpoints(grid, path, 2).read(FINGERPRINT, ids)
                    assert progress == {"epoch": 0, "step": writers, "best": -np.inf}
                    assert_same_state(found, state_of(ids, tag=writers))
                    assert_same(found.by_trainer, state_of(ids, tag=writers).by_trainer)


def test_a_trainer_is_read_by_its_number(grid, path):
    """Trainers of two ranks each, and one of the rest."""
    ids, trainer = mixed(grid.size)[grid.rank], grid.rank // 2
    saved = write(grid, path, ids, trainer=trainer)
    trainers = [f"trainer-{t:05d}.h5" for t in range((grid.size + 1) // 2)]
    assert [name for name in names(saved.latest()) if name.startswith("trainer")] == trainers
    for wanted in (trainer, (trainer + 1) % len(trainers)):
        found = saved.read(FINGERPRINT, ids, wanted)[1]
        assert found.trainer == wanted
        assert_same(found.by_trainer, state_of(ids, wanted).by_trainer)
    assert saved.read(FINGERPRINT, ids, 7)[1].by_trainer == {}


def test_the_first_of_a_trainer_writes_what_it_has(grid, path):
    state = state_of([], trainer=1)
    state.by_trainer = {"who": np.array([grid.rank])}
    state.by_vertex = {}
    saved = Checkpoints(grid, path, 1)
    none = np.empty(0, np.uint32)
    saved.write(FINGERPRINT, {"epoch": 1, "step": 0}, state, none)
    np.testing.assert_array_equal(saved.read(FINGERPRINT, none, 1)[1].by_trainer["who"], [0])


def test_ranks_without_a_state_of_their_own_write_nothing(grid, path):
    saved, ids = Checkpoints(grid, path, 1), mixed(grid.size)[grid.rank]
    state = ModeState({"parameters": np.ones(3)}, scalars={"steps": 4})
    saved.write(FINGERPRINT, {"epoch": 1, "step": 0}, state, ids)
    assert names(saved.latest()) == ["index.json", "replicated.h5"]
    found = saved.read(FINGERPRINT, ids)[1]
    assert_same_state(found, state)
    assert found.by_trainer == {}


def test_a_full_disk_on_one_rank_is_raised_on_all(grid, path, monkeypatch):
    ids = even_pieces(grid.size)[grid.rank]
    saved = write(grid, path, ids, step=1, tag=1)
    before = saved.latest()

    def full(beside, name):
        beside.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if grid.rank == grid.size - 1:
            patch.setattr(mode_state, "create_store", full)
        for step in (1, 2):
            with pytest.raises(StoreError, match="no room to write it"):
                write(grid, path, ids, step=step, tag=2)
            grid.world.Barrier()
            assert names(path) == [before.name]
            grid.world.Barrier()
    assert_same_state(saved.read(FINGERPRINT, ids)[1], state_of(ids, tag=1))


@pytest.mark.parametrize("place", ["begin_checkpoint", "write_state", "finish_checkpoint"])
def test_an_interruption_leaves_the_old_one_and_the_next_write_tidies(
    grid, path, monkeypatch, place
):
    """`discard` does nothing: as when the job is killed before it could tidy up."""
    ids = mixed(grid.size)[grid.rank]
    saved = write(grid, path, ids, step=1, tag=1, keep=1)

    def interrupted(*args, **options):
        raise KeyError("lost")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "discard", lambda part: None)
        if grid.rank == (grid.size - 1 if place == "write_state" else 0):
            patch.setattr(checkpoints, place, interrupted)
        with pytest.raises(RankError, match="KeyError"):
            write(grid, path, ids, step=2, tag=2, keep=1)
    grid.world.Barrier()
    leftover = [] if place == "begin_checkpoint" else ["epoch-000000-step-00000002.part"]
    assert names(path) == ["epoch-000000-step-00000001", *leftover]
    assert_same_state(saved.read(FINGERPRINT, ids)[1], state_of(ids, tag=1))
    write(grid, path, ids, step=2, tag=3, keep=1)
    grid.world.Barrier()
    assert names(path) == ["epoch-000000-step-00000002"]
    assert_same_state(saved.read(FINGERPRINT, ids)[1], state_of(ids, tag=3))


def damage(grid, file):
    """The first rank changes a byte in the middle; collective."""
    if grid.rank == 0:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    grid.world.Barrier()


def test_a_damaged_file_is_named_on_all_ranks(grid, path):
    last = grid.size - 1
    ids = even_pieces(grid.size)[grid.rank]
    for step, name in enumerate(["index.json", "replicated.h5", f"vertices-{last:05d}.h5"]):
        saved = write(grid, path, ids, step=step)
        file = saved.latest() / name
        damage(grid, file)
        with pytest.raises(BatchGNNError) as caught:
            saved.read(FINGERPRINT, ids)
        assert str(caught.value).startswith(f"{file} is damaged, not as it was written: copy ")
        ranks = {"index.json": 0, f"vertices-{last:05d}.h5": last}
        if name in ranks and grid.size > 1:
            assert f"on 1 of {grid.size} ranks: rank {ranks[name]} " in str(caught.value)


def test_other_shards_and_no_checkpoint_are_refused_on_all_ranks(grid, path):
    ids = mixed(grid.size)[grid.rank]
    with pytest.raises(StoreError, match="no checkpoint to resume from"):
        Checkpoints(grid, path, 1).read(FINGERPRINT, ids)
    saved = write(grid, path, ids)
    with pytest.raises(StoreError, match="was trained on shards ffffffffffff, not on these"):
        saved.read("e" * 64, ids)
