"""Settings: what is written is read again, defaults that depend on others, what is refused."""

import dataclasses
import tomllib
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from cyclopts import App
from hypothesis import given
from hypothesis import strategies as st

from batchgnn.base.errors import ConfigError
from batchgnn.settings.config import (
    FREE,
    FeatureDtype,
    Metric,
    Settings,
    read_settings,
    settings_files,
    write_settings,
)

OTHER = {
    "model": "gat",
    "layers": 2,
    "hidden": 12,
    "heads": 3,
    "norm": "layer",
    "alpha": 0.2,
    "theta": 1.5,
    "residual": True,
    "dropout": 0.25,
    "input_dropout": 0.125,
    "attention_dropout": 0.5,
    "fanouts": (7, -1),
    "batch_size": 17,
    "macrobatch": 3,
    "macrobatch_memory": "256M",
    "topology": "node-shared",
    "chunks": 4,
    "stage_to": "/local",
    "tensor_ways": 2,
    "decoupled": True,
    "overlap": False,
    "aggregate_cache": "store",
    "aggregate_memory": "64M",
    "features": "mapped",
    "feature_dtype": "bfloat16",
    "feature_cache": "512M",
    "optimizer": "sgd",
    "lr": 1e-5,
    "weight_decay": 5e-4,
    "conv_weight_decay": 0.01,
    "epochs": 7,
    "patience": 4,
    "eval_every": 2,
    "metric": "roc-auc",
    "split_index": 9,
    "seed": 2**40,
    "threads": 5,
    "memory": "1.5G",
    "checkpoint_every": 11,
    "checkpoint_seconds": 0.5,
    "checkpoint_keep": 1,
    "timeline_epoch": 5,
    "collective_timeout": 0.0,
}
"A value of every setting that is not its default; `mode` has but one."


def test_every_setting_has_a_value_here():
    fields = {field.name: field.default for field in dataclasses.fields(Settings)}
    assert set(OTHER) == set(fields) - {"mode"}
    assert all(value != fields[name] for name, value in OTHER.items())
    assert set(fields) >= FREE


@pytest.mark.parametrize("name", OTHER)
def test_each_setting_survives_writing_and_reading(tmp_path, name):
    settings = Settings(**{name: OTHER[name]})
    write_settings(tmp_path / "c.toml", Path("some/shards"), settings)
    shards, again = read_settings(tmp_path / "c.toml")
    assert again == settings
    assert type(getattr(again, name)) is type(OTHER[name])
    assert shards == Path("some/shards").absolute()


def test_none_is_left_out_and_read_as_none(tmp_path):
    write_settings(tmp_path / "c.toml", Path("s"), Settings())
    values = tomllib.loads((tmp_path / "c.toml").read_text())
    left_out = {"fanouts", "metric", "threads", "memory", "aggregate_cache", "aggregate_memory"}
    left_out |= {"conv_weight_decay", "feature_dtype", "feature_cache", "overlap"}
    left_out |= {"stage_to", "tensor_ways"}
    assert left_out.isdisjoint(values)
    assert len(values) == 1 + len(dataclasses.fields(Settings)) - len(left_out)
    assert read_settings(tmp_path / "c.toml")[1] == Settings()


@pytest.fixture
def parsed():
    """What the command line makes of words, as `batchgnn train` does."""
    app, seen = App(config=settings_files), []

    @app.default
    def train(
        shards: Path,
        *,
        run: Path,
        resume: bool = False,
        config: Path | None = None,
        settings: Settings = Settings(),  # noqa: B008
    ):
        seen.append((shards, settings))

    def parse(*words):
        app([*map(str, words)], exit_on_error=False, result_action="return_value")
        return seen.pop()

    return parse


def test_the_command_line_reads_what_was_written(tmp_path, parsed):
    settings = Settings(**OTHER)
    write_settings(tmp_path / "c.toml", Path("/s"), settings)
    assert parsed("--run", "r", "--config", tmp_path / "c.toml") == (Path("/s"), settings)
    (tmp_path / "run").mkdir()
    write_settings(tmp_path / "run" / "config.toml", Path("/s"), settings)
    assert parsed("--run", tmp_path / "run", "--resume") == (Path("/s"), settings)


def test_the_command_line_wins_over_files_and_config_over_the_run(tmp_path, parsed):
    (tmp_path / "run").mkdir()
    of_run = Settings(epochs=3, lr=0.5, fanouts=(1, 2, 3))
    write_settings(tmp_path / "run" / "config.toml", Path("/s"), of_run)
    (tmp_path / "c.toml").write_text("epochs = 4\nbatch-size = 9\nfanouts = [4, 4, 4]\n")
    shards, settings = parsed(
        *("/other", "--run", tmp_path / "run", "--resume", "--config", tmp_path / "c.toml"),
        *("--batch-size", 5, "--fanouts", -1, 2, 1),
    )
    assert shards == Path("/other")
    assert (settings.epochs, settings.lr, settings.batch_size) == (4, 0.5, 5)
    assert settings.fanouts == (-1, 2, 1)


def test_without_resume_the_run_is_not_read(tmp_path, parsed):
    (tmp_path / "run").mkdir()
    write_settings(tmp_path / "run" / "config.toml", Path("/s"), Settings(epochs=3))
    for words in ([], ["--no-resume"]):
        settings = parsed("/other", "--run", tmp_path / "run", *words)[1]
        assert settings.epochs == Settings().epochs


@given(layers=st.integers(1, 12))
def test_default_fanouts(layers):
    fanouts = Settings(layers=layers).resolved("multiclass").fanouts
    assert fanouts == (15, 10, *[5] * 10)[:layers]


@given(fanouts=st.lists(st.integers(-3, 5), min_size=1, max_size=4), layers=st.integers(1, 4))
def test_fanouts_are_one_a_layer_and_positive_or_all(fanouts, layers):
    settings = Settings(layers=layers, fanouts=tuple(fanouts))
    if len(fanouts) == layers and all(f > 0 or f == -1 for f in fanouts):
        assert settings.resolved("multiclass").fanouts == tuple(fanouts)
    else:
        with pytest.raises(ConfigError, match="--fanouts"):
            settings.resolved("multiclass")


def test_default_metric():
    assert Settings().resolved("multiclass").score_name == "accuracy"
    assert Settings().resolved("multilabel").score_name == "micro-f1"
    for metric in get_args(Metric):
        assert Settings(metric=metric).resolved("multiclass").score_name == metric
    with pytest.raises(ConfigError, match="--metric accuracy is for one label"):
        Settings(metric="accuracy").resolved("multilabel")


def test_heads_must_divide_hidden_of_gat_alone():
    assert Settings(hidden=30, heads=4).resolved("multiclass").hidden == 30
    with pytest.raises(ConfigError, match="Try --hidden 28"):
        Settings(model="gat", hidden=30, heads=4).resolved("multiclass")


CACHED = {"fanouts given": (5, 4, 3), "last left out": (5, 4), "default": None}


@pytest.mark.parametrize("fanouts", CACHED.values(), ids=CACHED)
def test_with_aggregated_inputs_the_last_hop_takes_all(fanouts):
    settings = Settings(aggregate_cache="memory", fanouts=fanouts).resolved("multiclass")
    assert settings.fanouts == (*(fanouts or (15, 10))[:2], -1)
    assert settings.resolved("multiclass") == settings


NO_AGGREGATES = {
    "gat": ({"model": "gat"}, "cannot serve --model gat"),
    "input dropout": ({"input_dropout": 0.2}, "cannot serve --input-dropout 0.2"),
    "no size": ({"aggregate_memory": "lots"}, "'lots' is no size in bytes"),
    "nothing": ({"aggregate_memory": "0"}, "'0' is no size in bytes"),
    "off": ({"aggregate_cache": "off", "aggregate_memory": "1G"}, "which is off: give both"),
    "store": ({"aggregate_cache": "store", "aggregate_memory": "1G"}, "which is store: give both"),
    "fanouts": ({"fanouts": (5,)}, "--fanouts 5 has 1 numbers for --layers 3"),
}


@pytest.mark.parametrize(("options", "meant"), NO_AGGREGATES.values(), ids=NO_AGGREGATES)
def test_what_aggregated_inputs_cannot_serve(options, meant):
    settings = Settings(**{"aggregate_cache": "memory", **options})
    with pytest.raises(ConfigError, match=meant):
        settings.resolved("multiclass")
    others = dataclasses.replace(settings, aggregate_cache="off", aggregate_memory=None)
    if others.fanouts is None:
        others.resolved("multiclass")  # nothing else was wrong


@pytest.mark.parametrize("stored", get_args(FeatureDtype))
@pytest.mark.parametrize("wanted", [None, *get_args(FeatureDtype)])
def test_rows_are_as_stored_or_narrowed_from_float32(stored, wanted):
    settings = Settings(feature_dtype=wanted)
    if stored == "float32" or wanted in (None, stored):
        assert settings.resolved("multiclass", stored).feature_dtype == (wanted or stored)
    else:
        with pytest.raises(ConfigError, match=f"{wanted}: these shards hold {stored}.*partition"):
            settings.resolved("multiclass", stored)


@pytest.mark.parametrize("size", ["lots", "0", "-1M", ""])
def test_a_feature_cache_has_a_size(size):
    with pytest.raises(ConfigError, match="is no size in bytes"):
        Settings(feature_cache=size).resolved("multiclass")
    assert Settings(feature_cache="1.5G").resolved("multiclass").feature_cache == "1.5G"


def test_resolving_twice_changes_nothing():
    once = Settings().resolved("multilabel", "float16")
    assert once.resolved("multilabel", "float16") == once
    assert get_type_hints(Settings)["fanouts"] == tuple[int, ...] | None


def test_a_shared_topology_cannot_serve_some_aggregated_inputs():
    settings = Settings(topology="node-shared", aggregate_cache="memory", aggregate_memory="1G")
    with pytest.raises(ConfigError, match="leave one of the two out"):
        settings.resolved("multiclass")
    settings = dataclasses.replace(settings, aggregate_memory=None)
    assert settings.resolved("multiclass").topology == "node-shared"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"mode": "macrobatch"}, "off"),
        ({"mode": "fullgraph"}, "memory"),
        ({"mode": "fullgraph", "aggregate_cache": "off"}, "off"),
        ({"mode": "fullgraph", "model": "gat"}, "off"),
        ({"mode": "fullgraph", "input_dropout": 0.1}, "off"),
    ],
)
def test_the_whole_graph_keeps_its_first_aggregate_where_it_can(given, kept):
    assert Settings(**given).resolved("multiclass").aggregate_cache == kept


@pytest.mark.parametrize(
    "given",
    [
        {"fanouts": (5, 5, 5)},
        {"feature_cache": "1G"},
        {"aggregate_memory": "1G", "aggregate_cache": "memory"},
        {"topology": "node-shared"},
    ],
)
def test_the_whole_graph_is_not_sampled(given):
    option = next(iter(given)).replace("_", "-")
    with pytest.raises(ConfigError, match=f"--{option} is for sampled minibatches"):
        Settings(mode="fullgraph", **given).resolved("multiclass")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model": "gcnii"}, "--model gcnii is for deep models"),
        ({"model": "gcnii", "mode": "fullgraph", "norm": "layer"}, "has no norm"),
        ({"model": "gcnii", "mode": "fullgraph", "aggregate_cache": "memory"}, "cannot serve"),
        ({"norm": "batch"}, "--norm batch takes its means"),
    ],
)
def test_what_a_mode_or_model_lacks_is_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        Settings(**given).resolved("multiclass")
