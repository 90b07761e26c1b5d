"""The memory that a rank plans for is an upper bound of what it uses, and not a wild one."""

import pytest
from commands import succeed
from graphs import learnable_graph, shards_of
from plans import peaks, planned

from batchgnn.modes.extent import INTERPRETER_BYTES
from batchgnn.modes.macrobatch.memory import EVALUATION

OPTIONS = ["--layers", 2, "--fanouts", 15, 10, "--hidden", 128, "--batch-size", 2000]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """200,000 vertices with 100 MB of features; a random cut makes every rank fetch the most."""
    folder = tmp_path_factory.mktemp("memory")
    sizes = ["--vertices", 200_000, "--degree", 12, "--features", 128, "--classes", 20]
    split = ["--split", 0.1, 0.1, 0.8]
    succeed("data", "generate", "communities", folder / "graph.h5", *sizes, *split)
    cut = ["--shards", 2, "--method", "random"]
    succeed("partition", folder / "graph.h5", folder / "shards", *cut)
    return folder / "shards"


@pytest.fixture(scope="module")
def interpreter_bytes(tmp_path_factory):
    """What a rank uses for a graph of nothing; within the plan's allowance for it."""
    folder = tmp_path_factory.mktemp("nothing")
    tiny, run = shards_of(learnable_graph(), folder / "shards"), folder / "run"
    succeed("train", tiny, "--run", run, "--epochs", 1, "--hidden", 4, "--no-overlap", ranks=2)
    peak = max(peaks(run)[-1])
    assert peak < INTERPRETER_BYTES
    return peak


CASES = [
    pytest.param(1, ["--macrobatch", 8], id="1 rank, M = 8"),
    pytest.param(2, ["--macrobatch", 1], id="2 ranks, M = 1"),
    pytest.param(2, ["--macrobatch", 8], id="2 ranks, M = 8", marks=pytest.mark.slow),
    pytest.param(1, ["--macrobatch", 1], id="1 rank, M = 1", marks=pytest.mark.slow),
    *(
        pytest.param(2, ["--model", model], id=model, marks=pytest.mark.slow)
        for model in ("gcn", "gin", "gat")
    ),
    pytest.param(2, ["--input-dropout", 0.2, "--norm", "layer"], id="norm", marks=pytest.mark.slow),
    pytest.param(2, ["--no-overlap"], id="no overlap", marks=pytest.mark.slow),
    pytest.param(2, ["--aggregate-cache", "memory"], id="aggregated"),
    pytest.param(
        2,
        ["--aggregate-cache", "memory", "--aggregate-memory", "20M", "--macrobatch", 1],
        id="some aggregated",
        marks=pytest.mark.slow,
    ),
    pytest.param(2, ["--feature-dtype", "bfloat16"], id="half width", marks=pytest.mark.slow),
    pytest.param(
        2, ["--mode", "averaging", "--round", "5steps"], id="trainers", marks=pytest.mark.slow
    ),
    pytest.param(
        2,
        ["--mode", "averaging", "--round", "5steps", "--average", "llcg"],
        id="trainers and steps on the whole graph",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        2,
        ["--macrobatch", 1, "--feature-cache", "32M"],
        id="copies of remote rows",
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize(("ranks", "options"), CASES)
def test_the_peak_is_within_the_plan(shards, interpreter_bytes, tmp_path, ranks, options):
    """Also without the plan's allowance for the interpreter, in training and in evaluation."""
    stays_within_the_plan(shards, interpreter_bytes, tmp_path, ranks, [*OPTIONS, *options])


NEGATIVES = ["uniform:1", "shared:2000", "in-batch", "degree:2", "pairs:2"]


@pytest.mark.slow
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_the_peak_of_sampled_links_is_within_the_plan(
    shards, interpreter_bytes, tmp_path, negatives
):
    links = tmp_path / "links"
    cut = ["--shards", 2, "--method", "random", "--links", 0.85, 0.05, 0.1]
    succeed("partition", shards.parent / "graph.h5", links, *cut)
    options = [*OPTIONS[:-1], 20_000, "--macrobatch", 2, "--eval-negatives", 9]
    options += ["--negatives", negatives]
    stays_within_the_plan(links, interpreter_bytes, tmp_path, 2, options)


WHOLE = [
    pytest.param(2, ["--model", "sage"], id="sage"),
    pytest.param(1, ["--model", "gcn"], id="gcn, 1 rank", marks=pytest.mark.slow),
    pytest.param(
        2, ["--model", "gcn", "--aggregate-cache", "off"], id="gcn", marks=pytest.mark.slow
    ),
    pytest.param(2, ["--model", "gat", "--heads", 4], id="gat", marks=pytest.mark.slow),
    pytest.param(
        2,
        ["--model", "gin", "--layers", 8, "--residual", "--norm", "batch"],
        id="deep gin",
        marks=pytest.mark.slow,
    ),
    pytest.param(2, ["--model", "gcnii", "--layers", 8], id="gcnii", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("ranks", "options"), WHOLE)
def test_the_whole_graph_is_within_the_plan(shards, interpreter_bytes, tmp_path, ranks, options):
    options = ["--mode", "fullgraph", "--hidden", 64, *options]
    stays_within_the_plan(shards, interpreter_bytes, tmp_path, ranks, options)


TENSOR = [
    pytest.param(2, ["--model", "sage"], id="sage"),
    pytest.param(2, ["--model", "decoupled-gat"], id="decoupled"),
    *(
        pytest.param(ranks, ["--model", *options], id=" ".join(options), marks=pytest.mark.slow)
        for ranks, options in [
            (1, ["gcn", "--aggregate-cache", "off"]),
            (2, ["gcn", "--aggregate-cache", "off"]),
            (2, ["gcn", "--no-overlap", "--chunks", "1"]),
            (2, ["decoupled-gcn"]),
            (1, ["decoupled-gat", "--layers", "6"]),
            (2, ["gat", "--heads", "4"]),
            (2, ["gat", "--heads", "1"]),
            (2, ["gin", "--layers", "8", "--residual", "--norm", "batch"]),
            (2, ["gcnii", "--layers", "8"]),
            (4, ["sage", "--tensor-ways", "2"]),
            (4, ["gat", "--tensor-ways", "2"]),
        ]
    ),
]


@pytest.mark.parametrize(("ranks", "options"), TENSOR)
def test_mode_tensor_is_within_the_plan(shards, interpreter_bytes, tmp_path, ranks, options):
    options = ["--mode", "tensor", "--hidden", 64, *options]
    stays_within_the_plan(shards, interpreter_bytes, tmp_path, ranks, options)


PIPELINE = [
    pytest.param(layers, ["--model", *options], id=" ".join(options), marks=pytest.mark.slow)
    for layers, options in [
        (6, ["gcn", "--residual"]),
        (6, ["sage", "--residual", "--norm", "layer", "--recompute"]),
        (6, ["gin", "--aggregate-cache", "off"]),
        (6, ["gat", "--heads", "4"]),
        (4, ["gcnii", "--guard-every", "2"]),
        (6, ["sage", "--residual", "--pipeline-ways", "2"]),
        (6, ["sage", "--residual", "--wavefront"]),
    ]
]


@pytest.mark.parametrize(("layers", "options"), PIPELINE)
def test_mode_pipeline_is_within_the_plan(shards, interpreter_bytes, tmp_path, layers, options):
    options = ["--mode", "pipeline", "--layers", layers, "--hidden", 64, *options]
    stays_within_the_plan(shards, interpreter_bytes, tmp_path, 2, options)


def stays_within_the_plan(shards, interpreter_bytes, folder, ranks, options):
    """Every rank's peak, in training and with the evaluation at the end."""
    run, line = folder / "run", [*options, "--epochs", 2, "--eval-every", 2]
    succeed("train", shards, "--run", run, *line, ranks=ranks, timeout_s=200)
    training, everything = peaks(run)
    assert len(training) == len(everything) == ranks
    for rank, each in enumerate(planned(run, ranks)):
        said = f"training {training[rank] / 2**20:.0f} MiB, {each}"
        print(said)
        base = interpreter_bytes + each.mapped
        needed = base + each.plan.total - INTERPRETER_BYTES
        assert 1 <= each.ratio <= 2, said
        assert each.peak <= needed, said
        assert training[rank] <= needed - each.plan.parts.get(EVALUATION, 0), said


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["fullgraph", "macrobatch"])
def test_trained_rows_are_in_the_plan(tmp_path, shards, mode):
    """100 MB of rows, their moments, the best of them and a step's gradients."""
    run, rows = tmp_path / "run", ["--inputs", "embedding", "--input-width", 128]
    how = ["--mode", mode, "--layers", 2, "--hidden", 64, "--epochs", 3]
    succeed("train", shards, "--run", run, *how, *rows, ranks=2)
    for each in planned(run, 2):
        print(each)
        assert 1 <= each.ratio <= 2, each
