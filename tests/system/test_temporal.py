"""What mode temporal learns of real streams, by commands, from the file to the score."""

import json

import pytest
from commands import succeed
from shards import DATA

STREAMS = {
    "wikipedia": (
        *("wikipedia_jodie.csv.gz", ["--source", "u", "--target", "i", "--time", "ts"]),
        *(["--epochs", 4, "--eval-every", 4], {"test_ap": 0.97, "test_mrr": 0.785}),
    ),
    "messages": (
        *("CollegeMsg.txt.gz", []),
        *(["--epochs", 8, "--eval-every", 8, "--batch-size", 200], {"test_mrr": 0.42}),
    ),
}


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", STREAMS)
def test_a_real_stream_is_learned(name, tmp_path):
    """Four traversals of Wikipedia take a minute of a core, and their scores half of one."""
    file, columns, options, floors = STREAMS[name]
    path = DATA / "temporal" / file
    if not path.exists():
        pytest.skip(f"{path} is not there")
    graph, shards, run = (tmp_path / each for each in ("g.h5", "shards", "run"))
    succeed("data", "convert", "events", path, graph, *columns, timeout_s=300)
    succeed("partition", graph, shards, "--shards", 2, timeout_s=300)
    words = ["--mode", "temporal", "--lr", 0.001, "--threads", 1, *options]
    succeed("train", shards, "--run", run, *words, timeout_s=7000)
    scores = json.loads((run / "result.json").read_text())
    assert {key: scores[key] for key in floors if scores[key] < floors[key]} == {}
