"""`python -O` trains the same: nothing that has an effect hangs on an `assert`."""

import json

import pytest
from graphs import learnable_graph, shards_of
from mpi.ranks import HERE, run_on_ranks

PROGRAM = HERE / "programs" / "train.py"


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return shards_of(learnable_graph(), tmp_path_factory.mktemp("optimised") / "shards")


def trained(shards, *flags):
    done = run_on_ranks(2, [*flags, PROGRAM, shards], timeout_s=100)
    assert done.status == 0, done.output
    said = json.loads(done.output.splitlines()[-1])
    assert said["debug"] == (not flags)
    return said["modes"]


def test_losses_scores_and_loaded_features_are_the_same(shards):
    plain, optimised = trained(shards), trained(shards, "-O")
    assert optimised == plain
    for mode, found in optimised.items():
        assert found["loaded"] == [2, 400 * 12 * 2], mode
        assert found["losses"][-1] < found["losses"][0], mode
