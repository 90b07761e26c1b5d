"""Settings: which options there are, defaults that depend on others, files, the command line."""

import dataclasses
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgnn.base.errors import ConfigError
from batchgnn.modes.assembly import TABLES, changed, every_subject, resolved, settings_of
from batchgnn.modes.chosen import Chosen
from batchgnn.modes.command_options import TRAINING_OPTIONS
from batchgnn.modes.options import Messages
from batchgnn.nn.options import Layers
from batchgnn.sampling.options import Batches, KeptInputs, Sampling
from batchgnn.settings.files import read_options, write_settings
from batchgnn.settings.general import FeatureDtype, Features, Optimiser, Training
from batchgnn.settings.settings import options_of, table_of
from batchgnn.tasks.kinds import TASKS
from batchgnn.tasks.options import Scoring, Trained

OTHER = {
    **{"layers": 2, "hidden": 12, "heads": 3, "embedding": 24, "decoder": "mlp"},
    **{"norm": "layer", "inputs": "degree", "input_width": 9, "exclude_seeds": False},
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
    "evaluation_memory": "96M",
    "topology": "node-shared",
    "chunks": 4,
    "stage_to": "/local",
    **{"trainers": 2, "round": "7steps", "time_limit": "4h", "average": "edges"},
    **{"server_steps": 3, "evaluator": True, "tensor_ways": 2},
    "stages": 2,
    **{"history_every": 5, "history_init": "zero", "gradient": "drop"},
    "recompute": True,
    "guard_every": 7,
    "pipeline_ways": 2,
    "wavefront": True,
    **{"overlap": False, "halo": "rows", "wire": "bfloat16"},
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
    "loss": "mae",
    **{"class_weights": "balanced", "split_index": 9},
    "seed": 2**40,
    "threads": 5,
    "memory": "1.5G",
    "checkpoint_every": 11,
    "checkpoint_seconds": 0.5,
    "checkpoint_keep": 1,
    **{"timeline_epoch": 5, "collective_timeout": 0.0, "log": ("tensorboard", "mlflow")},
    **{"ways": (2, 1, 2), "lost_updates": 0.5, "state_rows": "dealt", "static": "pretrain"},
    **{"recent": 3, "negatives": 2, "eval_negatives": 7, "eval_negatives_file": "n.npy"},
    "protocol": "replay",
    **{"state_width": 8, "time_width": 6, "state_heads": 4, "state_layers": 2},
    "time_encoder": "learned",
    **{"event_loss": "softmax", "trained": "run"},
}
"A value of every option that is not its default, but for the choices."

SUBJECT_OF = {name: subject for subject in every_subject() for name in options_of(subject)}


def with_option(name):
    """The choices of a run that has the option: of the first mode, model or task with it."""
    subject = SUBJECT_OF[name]
    return {
        what: next(kind.name for kind in table.values() if subject in kind.options)
        for what, table in TABLES.items()
        if any(subject in kind.options for kind in table.values())
    }


def kinds_without(name):
    """(what, kind): the modes, models and tasks that an option is foreign to."""
    subject = SUBJECT_OF[name]
    for what, table in TABLES.items():
        if any(subject in kind.options for kind in table.values()):
            yield from ((what, k.name) for k in table.values() if subject not in k.options)


FOREIGN = [(name, *kind) for name in OTHER for kind in kinds_without(name)]


def test_every_option_has_one_subject_and_a_value_here():
    names = [name for subject in every_subject() for name in options_of(subject)]
    assert len(names) == len(set(names))
    assert set(OTHER) == set(names) - set(TABLES)
    for name, value in OTHER.items():
        assert value != getattr(SUBJECT_OF[name](), name)


def test_options_that_may_change_on_a_resume_exist():
    for subject in every_subject():
        assert set(getattr(subject, "FREE", ())) <= set(options_of(subject))


@pytest.mark.parametrize(("name", "what", "kind"), FOREIGN)
def test_an_option_of_another_mode_model_or_task_is_refused(name, what, kind):
    """Also where it has its default value."""
    for value in (OTHER[name], getattr(SUBJECT_OF[name](), name)):
        with pytest.raises(ConfigError, match=f"^--{name.replace('_', '-')} is an option of --"):
            settings_of({**with_option(name), what: kind, name: value})


def test_the_sentence_names_who_has_the_option():
    with pytest.raises(ConfigError, match="of --mode macrobatch, averaging or temporal, and this"):
        settings_of(mode="tensor", batch_size=5)
    with pytest.raises(ConfigError, match="option of --model gat or decoupled-gat, and this"):
        settings_of(attention_dropout=0.5)
    with pytest.raises(ConfigError, match=r"not its columns, .* take --pipeline-ways, or --mode"):
        settings_of(mode="pipeline", tensor_ways=2)
    with pytest.raises(ConfigError, match=r"^--speed: there is no such option"):
        settings_of(speed=3)


def test_a_mode_that_is_to_be_chosen_may_have_options_of_any():
    settings = settings_of(mode="auto", fanouts=(3, 3, 3), chunks=2)
    assert changed(settings, mode="macrobatch")[Sampling].fanouts == (3, 3, 3)
    assert Sampling not in changed(settings, mode="tensor")


@pytest.mark.parametrize("name", OTHER)
def test_each_option_survives_writing_and_reading(tmp_path, name):
    settings = settings_of({**with_option(name), name: OTHER[name]})
    write_settings(tmp_path / "c.toml", Path("some/shards"), settings)
    shards, options = read_options(tmp_path / "c.toml", every_subject())
    again = settings_of(options)
    assert again == settings
    value = again.options()[name]
    assert value == OTHER[name]
    assert type(value) is type(OTHER[name])
    assert shards == Path("some/shards").absolute()


def test_a_file_has_a_table_a_subject_and_leaves_none_out(tmp_path):
    write_settings(tmp_path / "c.toml", Path("s"), settings_of(hidden=5))
    values = tomllib.loads((tmp_path / "c.toml").read_text())
    assert (values["mode"], values["layers"]["hidden"]) == ("macrobatch", 5)
    assert "fanouts" not in values["sampling"]
    assert "slices" not in values


BAD_FILES = {
    "no table": ("[sampler]\nfanouts = [1]\n", r"there is no table \[sampler\]"),
    "misplaced": ("[layers]\nfanouts = [1]\n", r"fanouts is no option of \[layers\]"),
    "not TOML": ("a = ", "is not valid TOML"),
}


@pytest.mark.parametrize(("written", "said"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_told(tmp_path, written, said):
    (tmp_path / "c.toml").write_text(written)
    with pytest.raises(ConfigError, match=said):
        read_options(tmp_path / "c.toml", every_subject())


@pytest.fixture
def parsed():
    """What the command line makes of words, as `batchgnn train` does."""
    seen = []

    def train(
        shards: Path, *, run: Path, resume: bool = False, config: Path | None = None, options: dict
    ) -> None:
        seen.append((shards, options))

    app = TRAINING_OPTIONS.app(train)

    def parse(*words):
        app([*map(str, words)], exit_on_error=False, result_action="return_value")
        return seen.pop()

    return parse


def test_the_command_line_passes_on_what_was_said_and_no_more(parsed):
    words = ("/s", "--run", "r", "--hidden", 256, "--fanouts", 3, -1, "--residual")
    said = {"hidden": 256, "fanouts": (3, -1), "residual": True}
    assert parsed(*words) == (Path("/s"), said)


@pytest.mark.parametrize("name", OTHER)
def test_the_command_line_reads_what_was_written(tmp_path, parsed, name):
    settings = settings_of({**with_option(name), name: OTHER[name]})
    write_settings(tmp_path / "config.toml", Path("/s"), settings)
    shards, options = parsed("--run", "r", "--config", tmp_path / "config.toml")
    assert (shards, settings_of(options)) == (Path("/s"), settings)
    shards, options = parsed("--run", tmp_path, "--resume")
    assert (shards, settings_of(options)) == (Path("/s"), settings)


def test_the_command_line_wins_over_files_and_config_over_the_run(tmp_path, parsed):
    (tmp_path / "run").mkdir()
    of_run = settings_of(epochs=3, lr=0.5, fanouts=(1, 2, 3))
    write_settings(tmp_path / "run" / "config.toml", Path("/s"), of_run)
    flat = "epochs = 4\n[sampling]\nbatch-size = 9\nfanouts = [4, 4, 4]\n"
    (tmp_path / "c.toml").write_text(flat)
    shards, options = parsed(
        *("/other", "--run", tmp_path / "run", "--resume", "--config", tmp_path / "c.toml"),
        *("--batch-size", 5, "--fanouts", -1, 2, 1),
    )
    settings = settings_of(options)
    assert shards == Path("/other")
    assert (settings[Training].epochs, settings[Optimiser].lr) == (4, 0.5)
    assert (settings[Batches].batch_size, settings[Sampling].fanouts) == (5, (-1, 2, 1))


def test_without_resume_the_run_is_not_read(tmp_path, parsed):
    write_settings(tmp_path / "config.toml", Path("/s"), settings_of(epochs=3))
    for words in ([], ["--no-resume"]):
        assert parsed("/other", "--run", tmp_path, *words) == (Path("/other"), {})


@given(layers=st.integers(1, 12))
def test_default_fanouts(layers):
    fanouts = resolved(settings_of(layers=layers), "multiclass")[Sampling].fanouts
    assert fanouts == (15, 10, *[5] * 10)[:layers]


@given(fanouts=st.lists(st.integers(-3, 5), min_size=1, max_size=4), layers=st.integers(1, 4))
def test_fanouts_are_one_a_layer_and_positive_or_all(fanouts, layers):
    settings = settings_of(layers=layers, fanouts=tuple(fanouts))
    if len(fanouts) == layers and all(f > 0 or f == -1 for f in fanouts):
        assert resolved(settings, "multiclass")[Sampling].fanouts == tuple(fanouts)
    else:
        with pytest.raises(ConfigError, match="--fanouts"):
            resolved(settings, "multiclass")


@pytest.mark.parametrize("task", TABLES["task"].values(), ids=TABLES["task"])
def test_a_task_follows_from_the_labels_and_its_first_score_chooses(task):
    """Where several learn from the same shards, from those of the first."""
    given = {
        "mode": "temporal" if task.of_events else "fullgraph" if task.far_roots else "macrobatch"
    }
    if task is not next(t for t in TASKS.values() if t.manifest_task == task.manifest_task):
        given["task"] = task.name
    if Trained in task.options:
        given["trained"] = "run"
    settings = resolved(settings_of(given), task.manifest_task)
    assert settings[Chosen].task == task.name
    assert settings[Scoring].metric == task.metrics[0]
    for metric in task.metrics:
        chosen = resolved(settings_of(given, metric=metric), task.manifest_task)
        assert chosen[Scoring].metric == metric
    with pytest.raises(ConfigError, match=f"--metric hits is no score of --task {task.name}"):
        resolved(settings_of(given, metric="hits"), task.manifest_task)


def test_a_task_needs_its_labels():
    with pytest.raises(ConfigError, match="--task regression needs shards of regression"):
        resolved(settings_of(task="regression"), "multiclass")
    with pytest.raises(ConfigError, match="--loss is an option of --task regression"):
        resolved(settings_of(loss="mae"), "multilabel")


def test_heads_must_divide_hidden():
    assert resolved(settings_of(hidden=30), "multiclass")[Layers].hidden == 30
    with pytest.raises(ConfigError, match="Try --hidden 28"):
        resolved(settings_of(model="gat", hidden=30, heads=4), "multiclass")
    with pytest.raises(ConfigError, match="Try --hidden 16"):
        resolved(settings_of(model="gat", hidden=8, heads=16), "multiclass")


CACHED = {"fanouts given": (5, 4, 3), "last left out": (5, 4), "default": None}


@pytest.mark.parametrize("fanouts", CACHED.values(), ids=CACHED)
def test_with_kept_inputs_the_last_hop_takes_all(fanouts):
    settings = resolved(settings_of(aggregate_cache="memory", fanouts=fanouts), "multiclass")
    assert settings[Sampling].fanouts == (*(fanouts or (15, 10))[:2], -1)
    assert resolved(settings, "multiclass") == settings


NOT_KEPT = {
    "gat": ({"model": "gat"}, "cannot serve --model gat"),
    "input dropout": ({"input_dropout": 0.2}, "cannot serve --input-dropout 0.2"),
    "no size": ({"aggregate_memory": "lots"}, "'lots' is no size in bytes"),
    "nothing": ({"aggregate_memory": "0"}, "'0' is no size in bytes"),
    "off": ({"aggregate_cache": "off", "aggregate_memory": "1G"}, "which is off: give both"),
    "store": ({"aggregate_cache": "store", "aggregate_memory": "1G"}, "which is store: give both"),
    "fanouts": ({"fanouts": (5,)}, "--fanouts 5 has 1 numbers for --layers 3"),
    "node-shared": (
        {"topology": "node-shared", "aggregate_memory": "1G"},
        "leave one of the two out",
    ),
}


@pytest.mark.parametrize(("options", "meant"), NOT_KEPT.values(), ids=NOT_KEPT)
def test_what_kept_inputs_cannot_serve(options, meant):
    settings = settings_of({"aggregate_cache": "memory", **options})
    with pytest.raises(ConfigError, match=meant):
        resolved(settings, "multiclass")
    others = changed(settings, aggregate_cache="off", aggregate_memory=None)
    if others[Sampling].fanouts is None:
        resolved(others, "multiclass")  # nothing else was wrong


@pytest.mark.parametrize("stored", get_args(FeatureDtype))
@pytest.mark.parametrize("wanted", [None, *get_args(FeatureDtype)])
def test_rows_are_as_stored_or_narrowed_from_float32(stored, wanted):
    settings = settings_of(feature_dtype=wanted)
    if stored == "float32" or wanted in (None, stored):
        settings = resolved(settings, "multiclass", stored)
        assert settings[Features].feature_dtype == (wanted or stored)
    else:
        with pytest.raises(ConfigError, match=f"{wanted}: these shards hold {stored}.*partition"):
            resolved(settings, "multiclass", stored)


@pytest.mark.parametrize("size", ["lots", "0", "-1M", ""])
def test_a_feature_cache_has_a_size(size):
    with pytest.raises(ConfigError, match="is no size in bytes"):
        resolved(settings_of(feature_cache=size), "multiclass")
    assert resolved(settings_of(feature_cache="1.5G"), "multiclass")


@pytest.mark.parametrize("mode", TABLES["mode"])
def test_resolving_twice_changes_nothing(mode):
    task = "events" if TABLES["mode"][mode].of_events else "multilabel"
    once = resolved(settings_of(mode=mode), task, "float16")
    assert resolved(once, task, "float16") == once
    assert task == "events" or once[Messages].overlap is None  # known when a share is open


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"mode": "macrobatch"}, "off"),
        ({"mode": "fullgraph"}, "memory"),
        ({"mode": "fullgraph", "aggregate_cache": "off"}, "off"),
        ({"mode": "fullgraph", "model": "gat"}, "off"),
        ({"mode": "fullgraph", "input_dropout": 0.1}, "off"),
        ({"mode": "tensor", "model": "decoupled-gcn"}, "off"),
    ],
)
def test_the_whole_graph_keeps_its_first_inputs_where_it_can(options, kept):
    assert resolved(settings_of(options), "multiclass")[KeptInputs].aggregate_cache == kept


LACKING = [
    ({"model": "gcnii"}, "--model gcnii cannot be trained by --mode macrobatch, whose deep"),
    ({"model": "decoupled-gat", "mode": "fullgraph"}, "take --mode tensor, or another model"),
    ({"model": "gcnii", "mode": "fullgraph", "aggregate_cache": "memory"}, "cannot serve"),
    ({"norm": "batch"}, "--norm batch takes its means.*--mode fullgraph or tensor"),
    ({"mode": "tensor", "aggregate_cache": "store"}, "deals vertices in other runs"),
    ({"mode": "tensor", "chunks": 0}, "--chunks 0: give 1 to 16384"),
    ({"mode": "tensor", "model": "decoupled-gcn", "tensor_ways": 2}, "--tensor-ways cannot serve"),
    ({"mode": "fullgraph", "model": "gat", "halo": "cover"}, "take --halo rows, or leave it out"),
    ({"mode": "tensor", "model": "decoupled-gcn", "wire": "bfloat16"}, "for --model decoupled-gcn"),
    ({"mode": "tensor", "chunks": 2, "tensor_ways": 2}, "leave one of the two out"),
    ({"macrobatch": 0}, "give at least 1, or auto"),
    ({"mode": "pipeline", "norm": "batch"}, "does not have them at once: take --norm layer"),
    ({"mode": "pipeline", "aggregate_cache": "store"}, "take --aggregate-cache memory"),
    ({"mode": "pipeline", "model": "gat", "gradient": "stale"}, "take double or drop"),
    ({"mode": "pipeline", "wavefront": True, "pipeline_ways": 2}, "leave --pipeline-ways out"),
    ({"mode": "pipeline", "wavefront": True, "recompute": True}, "leave --recompute out"),
    (
        {"mode": "pipeline", "wavefront": True, "guard_every": 5, "gradient": "drop"},
        "leave --gradient, --guard-every out, or --wavefront",
    ),
    ({"mode": "pipeline", "stages": 0}, "--stages 0: needed a number of stages, at least 1"),
    ({"mode": "pipeline", "model": "decoupled-gcn"}, "take --mode tensor"),
]


@pytest.mark.parametrize(("options", "said"), LACKING)
def test_what_a_mode_or_model_lacks_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        resolved(settings_of(options), "multiclass")


def test_subjects_are_frozen_and_tables_differ():
    subjects = every_subject()
    assert len({table_of(subject) for subject in subjects}) == len(subjects)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings_of()[Layers].hidden = 3
