"""Values told to all ranks, and nothing that a rank reads from another is a pickle."""

from pathlib import Path

import pytest
from graphs import learnable_graph, shards_of
from mpi4py import MPI

from batchgnn.base.errors import RankError
from batchgnn.comm.failure import fail_together
from batchgnn.comm.values import values_at_first, values_of_all
from batchgnn.modes.assembly import settings_of
from batchgnn.run.folder import RunFolder
from batchgnn.run.session import open_session
from batchgnn.run.train import train_share


@pytest.mark.parametrize("empty", [True, False], ids=["first says nothing", "all speak"])
def test_every_rank_hears_every_value(comm, empty):
    value = None if empty and comm.rank == 0 else {"rank": comm.rank, "text": "é" * comm.rank}
    expected = [{"rank": r, "text": "é" * r} for r in range(comm.size)]
    if empty:
        expected[0] = None
    assert values_of_all(comm, value) == expected
    assert values_at_first(comm, value) == (expected if comm.rank == 0 else None)


@pytest.fixture
def no_pickles():
    """Raises where mpi4py would write or read a pickle."""

    def refuse(*_):
        raise AssertionError("a pickle on the network")

    MPI.pickle.__init__(dumps=refuse, loads=refuse)
    yield
    MPI.pickle.__init__()


def test_the_fixture_would_notice(comm, no_pickles):
    with pytest.raises(AssertionError, match="a pickle"):
        comm.allgather(comm.rank)


def test_training_sends_no_pickle(comm, no_pickles, tmp_path_factory):
    mine = str(tmp_path_factory.mktemp("values"))
    folder = Path(values_of_all(comm, mine)[0])
    if comm.rank == 0:
        shards_of(learnable_graph(), folder / "shards")
    comm.Barrier()
    settings = settings_of(layers=2, fanouts=(3, 2), hidden=8, batch_size=32, epochs=2, threads=1)
    with open_session(folder / "shards", settings, comm) as session:
        run = RunFolder(folder / "run")
        if session.is_first:
            run.open(resume=False)
        train_share(session, run, folder / "shards", resume=False)
    if comm.rank == 0:
        assert (run.path / "result.json").exists()
        assert (run.path / "timeline.json").exists()
    with pytest.raises(RankError, match="KeyError"), fail_together(comm, "failing"):
        raise KeyError(comm.rank)
