"""Memory plans of all models and modes on real and generated graphs: from the peak to twice that.

A line a rank is printed: pytest -m slow -s
"""

import pytest
from commands import run, succeed
from plans import planned
from shards import DATA

REAL = ["cora", "pubmed", "amazon-photo", "coauthor-cs", "tolokers", "wordnet", "debian-deps"]
GENERATED = {
    "communities": ["--vertices", 60_000, "--degree", 12, "--features", 128],
    "rmat": ["--vertices", 40_000, "--degree", 20],
}
LARGE = "debian-files"
SMALLER = ["--hidden", 16, "--layers", 2, "--fanouts", 5, 5]
"Of the large graph, whose whole-graph modes hold 4,413,964 rows of every layer."

STACKS = ["sage", "gcn", "gin", "gat"]
MODELS = {
    "macrobatch": STACKS,
    "fullgraph": [*STACKS, "gcnii"],
    "averaging": STACKS,
    "tensor": [*STACKS, "gcnii", "decoupled-gcn", "decoupled-gat"],
}
ROUND = ["--round", "20steps"]
RANKS = 2


@pytest.fixture(scope="module", params=[*REAL, *GENERATED, LARGE])
def shards(request, tmp_path_factory):
    """Of a graph, cut in four; skipped where it is absent."""
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    graph, out = folder / "graph.h5", folder / "shards"
    if name in GENERATED:
        succeed("data", "generate", name, graph, *GENERATED[name], timeout_s=600)
    else:
        source = DATA / "static" / f"{name}.npz"
        if not source.exists():
            pytest.skip(f"{source} is absent: set BATCHGNN_DATA to the folder of real graphs")
        succeed("data", "convert", "npz", source, graph, timeout_s=3600)
    cut = ["--shards", 4, *(["--feature-dtype", "float16"] if name == LARGE else [])]
    succeed("partition", graph, out, *cut, timeout_s=3600)
    return name, out


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODELS)
def test_plans_are_above_the_peak_and_at_most_twice_that(shards, tmp_path, mode):
    (name, path), wrong = shards, []
    options = SMALLER if name == LARGE else []
    options = options if mode in ("macrobatch", "averaging") else options[:4]
    options = [*options, *(ROUND if mode == "averaging" else [])]
    for model in MODELS[mode]:
        out = tmp_path / model
        line = ["--mode", mode, "--model", model, "--epochs", 1, *options]
        done = run("train", path, "--run", out, *line, ranks=RANKS, timeout_s=3600)
        if name == LARGE and done.returncode == 2:
            assert "batchgnn: this needs" in done.stderr, done.stderr
            print(f"{name} {mode} {model} refused: {done.stderr.splitlines()[0]}")
            continue
        assert done.returncode == 0, done.stderr
        for rank, each in enumerate(planned(out, RANKS)):
            print(f"{name} {mode} {model} rank {rank} {each}")
            wrong += [f"{model} {each}"] * (not 1 <= each.ratio <= 2)
    assert wrong == []
