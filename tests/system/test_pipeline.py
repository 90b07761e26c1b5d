"""Stages at work are idle for little more than the pipeline takes to fill and to empty."""

import json

import pytest
from commands import succeed

from batchgnn.modes.pipeline.slots import WAYS
from batchgnn.watch.timeline import read_timeline

CHUNKS = 16
DEEP = [
    *("--mode", "pipeline", "--model", "gcn", "--layers", 16, "--hidden", 64, "--residual"),
    *("--norm", "layer", "--guard-every", 0, "--epochs", 6, "--eval-every", 6),
]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Chunks of nearly the same number of vertices and edges."""
    folder = tmp_path_factory.mktemp("stages")
    sizes = ["--vertices", 60_000, "--degree", 20, "--features", 64, "--classes", 8]
    succeed("data", "generate", "communities", folder / "graph.h5", *sizes)
    succeed("partition", folder / "graph.h5", folder / "shards", "--shards", CHUNKS)
    return folder / "shards"


def slots_of(rank):
    return [each for each in rank.spans if each.name in WAYS]


def idle_of(rank, passage_s):
    """Share of a passage in which a rank is in no slot."""
    return 1 - sum(each.end_s - each.begin_s for each in slots_of(rank)) / passage_s


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4])
def test_stages_are_idle_for_the_bubble_and_at_most_five_points(shards, tmp_path, ranks):
    """(S - 1)/(C + S - 1), of the timeline and of the mean epoch; needs the cores to itself.

    Stages that share cores have longer slots, and are not less idle.
    """
    succeed("train", shards, "--run", tmp_path / "run", *DEEP, ranks=ranks)
    slots = json.loads((tmp_path / "run" / "result.json").read_text())["slots"]
    bubble, idle = (ranks - 1) / (CHUNKS + ranks - 1), sum(slots["idle"]) / ranks
    timeline = read_timeline(tmp_path / "run" / "timeline.json")
    spans = [each for rank in timeline.ranks for each in slots_of(rank)]
    passage_s = max(each.end_s for each in spans) - min(each.begin_s for each in spans)
    seen = sum(idle_of(rank, passage_s) for rank in timeline.ranks) / ranks
    print(f"\n{ranks} stages: bubble {bubble:.3f}, idle {idle:.3f}, {seen:.3f} in the timeline")
    assert slots["bubble"] == pytest.approx(bubble, abs=1e-4)
    assert idle <= bubble + 0.05
    assert seen <= bubble + 0.05
