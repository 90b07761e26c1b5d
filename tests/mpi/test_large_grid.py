"""The exact order of chunks on a grid of a million vertices, 32 layers on four ranks."""

import json

import pytest
from commands import succeed
from mpi.ranks import HERE, run_on_ranks

CHUNKS, LAYERS, RANKS = 32, 32, 4


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_million_vertices_have_the_losses_of_one_process(tmp_path):
    """In C + (L - 1) w + S - 1 slots each way, of the timeline; up to 12 GB on all ranks."""
    sizes = ["--vertices", 1 << 20, "--features", 8, "--classes", 4]
    succeed("data", "generate", "grid", tmp_path / "grid.h5", *sizes, timeout_s=600)
    cut = ["--shards", CHUNKS]
    succeed("partition", tmp_path / "grid.h5", tmp_path / "shards", *cut, timeout_s=600)
    program = [HERE / "programs" / "wave.py", tmp_path / "shards", LAYERS]
    done = run_on_ranks(RANKS, program, timeout_s=2400)
    assert done.status == 0, done.output
    found = json.loads(done.output.splitlines()[-1])
    print(found)
    assert found["wave"] == pytest.approx(found["exact"], rel=1e-12)
    assert found["wave"][1] < found["wave"][0]
    slots = CHUNKS + (LAYERS - 1) * found["slots"]["width"] + RANKS - 1
    assert found["slots"]["each_way"] == slots
    assert found["counted"] == {"chunk forward": slots, "chunk backward": slots}
