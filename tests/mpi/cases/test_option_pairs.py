"""Every pair of values of train's options: the losses of one rank without free options.

Here a third of the covering array's rows is trained, each on one number of ranks, 1 to 4;
`tests/mpi/test_all_option_pairs.py` takes all rows on 1, 2 and 3.
"""

import os
from contextlib import suppress
from math import prod

import numpy as np
import pytest
from jobs import losses
from mpi.in_folder import trained
from mpi.together import wait_asleep
from mpi4py import MPI
from option_values import GRAPH, GRAPHS, STAGE, option_rows, options_in, write_shards

from batchgnn.base.errors import BatchGNNError, NotFiniteError
from batchgnn.graph.missing import LOST_UPDATES
from batchgnn.modes.assembly import changed, settings_of
from batchgnn.modes.chosen import AUTO, Chosen
from batchgnn.modes.kept_check import decisive
from batchgnn.modes.temporal.options import Timeline
from batchgnn.run.folder import RunFolder
from batchgnn.run.run_state import STOPPED
from batchgnn.run.train import train
from batchgnn.sampling.options import Batches

ALL = "BATCHGNN_TEST_ALL_PAIRS"
WORLD = MPI.COMM_WORLD
ROWS = WORLD.bcast(option_rows() if WORLD.rank == 0 else None)
MINE = range(len(ROWS)) if ALL in os.environ else range(WORLD.size - 1, len(ROWS), 12)


OF_RANKS = ("--stages", "cannot be parted among", "-ways", "--trainers")
"Of what may be refused: that options do not go with this number of ranks."


@pytest.fixture(scope="module")
def graphs(shared_folder):
    """Shard stores by name."""
    if WORLD.rank == 0:
        for name in GRAPHS:
            write_shards(name, shared_folder / name)
    WORLD.Barrier()
    return shared_folder


def on_few_ranks(comm, shards, out, options):
    """Losses of those options that decide about numbers, on as few ranks as may be.

    That is one, the ways of one stage, or one for each trainer, without an evaluator. Ways, and an
    exact order of chunks, that were chosen are given, on all ranks.
    """
    settings = RunFolder(out).settings()
    decide = decisive(settings).keys() | {"epochs"}
    kept = {name: value for name, value in options.items() if name in decide}
    if kept.get("aggregate_cache") == "store":
        kept["aggregate_cache"] = "memory"
    if kept.get("ways") == (AUTO,):
        chosen = {"ways": settings[Timeline].ways, "batch_size": settings[Batches].batch_size}
        kept = kept | chosen | {"lost_updates": LOST_UPDATES}
    if settings.options().get("wavefront"):
        kept["wavefront"] = True
    num_ranks = prod(kept.get("ways") or [kept.get("pipeline_ways", 1)])
    if "round" in kept:
        others = int(kept.pop("evaluator", False))
        num_ranks = kept["trainers"] = kept.get("trainers") or comm.size - others
    alone = changed(settings_of(kept), mode=settings[Chosen].mode, overlap=False)
    few = comm.Split(comm.rank >= num_ranks)
    if comm.rank < num_ranks:
        with suppress(NotFiniteError), trained(few, shards, again(out), alone):
            pass
    wait_asleep()
    few.Free()
    return losses_of(again(out))


def losses_of(out):
    """Of the epochs that ended."""
    return [] if went_astray(out) and not (out / "metrics.jsonl").exists() else losses(out)


def again(out):
    """The folder of the run on few ranks."""
    return out.with_name(f"{out.name}-alone")


def went_astray(out):
    """Whether a run ended where its numbers were no longer finite: the same on any ranks."""
    return (out / STOPPED).exists()


def keeps_rounded(settings):
    """Whether some inputs are kept, rounded to half the width: more of them on more ranks."""
    decide = decisive(settings)
    return bool(decide.get("aggregate_memory")) and decide["feature_dtype"] != "float32"


def refused(comm, shards, out, options):
    """Train on all ranks; the sentence with which that was refused on all of them, if it was."""
    wrong = ""
    try:
        with suppress(NotFiniteError):
            train(shards, run=out, options=options)
    except BatchGNNError as error:
        wrong = str(error)
    said = comm.allgather(wrong)
    assert all(said) or not any(said), (options, said)
    return wrong


def compared(comm, shards, out, options):
    """Losses on all ranks, and on few; both runs went astray, or none."""
    wait_asleep()
    found, expected = losses_of(out), on_few_ranks(comm, shards, out, options)
    assert len(found) > 0 or went_astray(out)
    assert went_astray(out) == went_astray(again(out))
    return found, expected[: len(found)]


@pytest.mark.parametrize("row", MINE)
def test_options_give_the_losses_of_one_rank_or_a_sentence(comm, graphs, row):
    """Where Adam makes a step of a gradient that is rounding alone, SGD is compared."""
    given, shards = ROWS[row], graphs / ROWS[row][GRAPH]
    options = {n: str(graphs / n) if v == STAGE else v for n, v in options_in(given).items()}
    out = graphs / f"run-{row}"
    if wrong := refused(comm, shards, out, options):
        assert any(words in wrong for words in OF_RANKS), (given, wrong)
        return
    found, expected = compared(comm, shards, out, options)
    rtol = 2e-3 if keeps_rounded(RunFolder(out).settings()) else 1e-5
    if options["optimizer"] == "adam" and not np.allclose(found, expected, rtol=rtol, atol=0):
        np.testing.assert_allclose(found, expected, rtol=1e-3, err_msg=str(given))
        out, options = out.with_name(f"{out.name}-sgd"), options | {"optimizer": "sgd"}
        assert not refused(comm, shards, out, options)
        found, expected = compared(comm, shards, out, options)
    np.testing.assert_allclose(found, expected, rtol=rtol, err_msg=str(given))
