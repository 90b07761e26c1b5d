"""A pipeline looked at before it waits: options by the real parsers, files, time limits."""

import contextlib
import importlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError

from batchgnn.base.errors import BatchGNNError, ConfigError
from batchgnn.launch import queue
from batchgnn.launch.slurm import Pipeline, convert_words
from batchgnn.modes.assembly import mode_of, settings_of
from batchgnn.modes.chosen import AUTO, Chosen
from batchgnn.modes.command_options import TRAINING_OPTIONS
from batchgnn.settings.mistakes import mistake, whole_numbers
from batchgnn.settings.settings import Settings
from batchgnn.store.shard_store import MANIFEST, read_manifest


def check_pipeline(of: Pipeline, folder: Path) -> None:
    """Raise ConfigError for what a job would find wrong; `of` has absolute paths.

    folder: absolute, where the jobs will run
    """
    of.check()
    _check_times(of)
    graph, shards = of.graph or folder / "graph.h5", of.shards or folder / "shards"
    with contextlib.chdir(folder) if folder.is_dir() else contextlib.nullcontext():
        _check_convert(of, graph, folder)
        num_shards = _shards_of(of, graph, shards)
        settings = _settings(of, shards, folder)
    whole = settings[Chosen].mode == AUTO or mode_of(settings).whole_graph
    if num_shards < of.ranks and not whole:
        raise ConfigError(
            f"{num_shards} shards cannot be shared by {of.ranks} ranks ({of.nodes} nodes x "
            f"{of.ranks_per_node}): cut the graph into more, --cut '--shards {of.ranks}', or give "
            "fewer --nodes or --ranks-per-node."
        )


def _check_convert(of: Pipeline, graph: Path, folder: Path) -> None:
    if of.convert is None:
        if of.cut is not None and not graph.exists():
            raise ConfigError(
                f"--graph {graph} does not exist, and no step makes it: give --convert, or the "
                "path of a graph store."
            )
        return
    with _said_of("convert"):
        words = convert_words(of.convert, graph)
        _, bound, _ = _app("batchgnn.data.cli:app").parse_args(words, **QUIET)
        source = bound.arguments.get("source")
    if source is not None and not graph.exists() and not (folder / source).exists():
        raise ConfigError(f"--convert: {folder / source} does not exist.")


def _shards_of(of: Pipeline, graph: Path, shards: Path) -> int:
    """How many shards there will be."""
    to_be = None
    if of.cut is not None:
        with _said_of("cut"):
            words = [str(graph), str(shards), *shlex.split(of.cut)]
            _, bound, _ = _app("batchgnn.partition.cli:partition").parse_args(words, **QUIET)
            to_be = int(bound.arguments["cut"].num_shards)
    if (shards / MANIFEST).exists():
        return read_manifest(shards).num_shards
    if to_be is None:
        raise ConfigError(
            f"--shards {shards} is no shard store, and no step makes it: give --cut "
            "'--shards K', or the path of one."
        )
    return to_be


def _settings(of: Pipeline, shards: Path, folder: Path) -> Settings:
    """The settings of training, of every run of a job array; raises ConfigError."""
    found: list[Settings] = []

    def train(
        shards: Path,
        *,
        run: Path,
        resume: bool = False,
        config: Path | None = None,
        options: dict[str, Any],
    ) -> None:
        found.append(settings_of(options))

    app = TRAINING_OPTIONS.app(train, name="train")
    for variant in of.variants or [""]:
        with _said_of("train", variant):
            words = [str(shards), "--run", str(folder / "run")]
            app(
                [*words, *shlex.split(of.train), *variant.split()],
                result_action="return_value",
                **QUIET,
            )
    return found[0]


QUIET: dict[str, Any] = {"exit_on_error": False, "print_error": False}


def _app(path: str) -> App:
    """A command of another folder, by its name, as the command line finds it."""
    module, _, name = path.partition(":")
    found = getattr(importlib.import_module(module), name)
    if isinstance(found, App):
        return found
    app = App(config=whole_numbers)
    app.default(found)
    return app


@contextlib.contextmanager
def _said_of(option: str, variant: str = "") -> Iterator[None]:
    """Say of which option of the pipeline an error is."""
    try:
        yield
    except (CycloptsError, BatchGNNError) as error:
        error = mistake(error) if isinstance(error, CycloptsError) else error
        where = f" (with {variant})" if variant else ""
        text = " ".join(str(error).split())
        raise ConfigError(f"--{option}{where}: {text}") from error


def _check_times(of: Pipeline) -> None:
    """Raise ConfigError when Slurm has no such partition, or it gives less time."""
    limits = queue.time_limits()
    name = of.partition or next((n for n, limit in limits.items() if limit.is_default), None)
    if not limits or name is None:
        return
    for each in name.split(","):
        if each not in limits:
            raise ConfigError(f"--partition {each}: Slurm here has {', '.join(limits)}.")
    most = [limits[each].seconds for each in name.split(",")]
    if None in most:
        return
    longest = max(each for each in most if each is not None)
    for option, value in (("--time", of.time), ("--other-time", of.other_time)):
        if (queue.seconds_of(value) or 0) > longest:
            raise ConfigError(
                f"{option} {value} is longer than partition {name} gives: at most "
                f"{longest // 3600}:{longest % 3600 // 60:02}:{longest % 60:02}."
            )
