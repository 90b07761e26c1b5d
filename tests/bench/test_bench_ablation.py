"""The ablation on a small graph: a table for 1, 2 and 4 ranks, and what must hold in any table."""

import subprocess

import pytest
from bench.ablation import ablate
from bench.ablation_rows import MACROBATCH
from commands import BATCHGNN, environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
GRAPH = ["--vertices", "40000", "--degree", "24", "--features", "100", "--classes", "16",
         "--split", "0.3", "0.1", "0.1"]  # fmt: skip
LAYERS, STEPS = 3, 16


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablation")
    for command in (
        ["data", "generate", "communities", folder / "g.h5", *GRAPH],
        ["partition", folder / "g.h5", folder / "shards", "--shards", "4"],
    ):
        subprocess.run([*BATCHGNN, *map(str, command)], env=environment(), check=True)
    return folder / "shards"


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_ablation(shards, tmp_path, ranks):
    """12,000 training vertices in steps of 200: 60 steps an epoch."""
    rows = ablate(
        shards=shards,
        settings=["C"],
        ranks=[ranks],
        steps=STEPS,
        batch=200,
        feature_cache="2M",
        out=tmp_path / "out",
    )
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["results.csv", "results.json"]
    blocking, macrobatch, overlap = rows[:3]
    expected = 0 if ranks == 1 else 2 * LAYERS + 2
    assert blocking["rounds_per_step"] == expected
    assert macrobatch["rounds_per_step"] == overlap["rounds_per_step"] == expected / MACROBATCH
    assert macrobatch["losses"] == pytest.approx(blocking["losses"], rel=1e-4)
    assert overlap["losses"] == pytest.approx(blocking["losses"], rel=1e-4)
    assert macrobatch["deduplication"] < blocking["deduplication"]
    assert (blocking["data_bytes_per_step"] > 0) == (ranks > 1)
    assert macrobatch["data_bytes_per_step"] <= blocking["data_bytes_per_step"]
    for row in rows:
        assert 0 < row["fastest"] <= row["seconds"] <= row["slowest"]
        assert row["forward_s"] + row["backward_s"] < row["slowest"]
