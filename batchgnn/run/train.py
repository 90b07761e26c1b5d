"""`batchgnn train`: a model on a shard store, on all ranks that were started."""

from pathlib import Path
from typing import Any

from batchgnn.base.errors import ConfigError
from batchgnn.base.examples import ending
from batchgnn.comm.exchange import allreduce_max
from batchgnn.comm.failure import fail_together
from batchgnn.modes.assembly import mode_of, resolved, settings_of
from batchgnn.modes.chosen import AUTO, Chosen
from batchgnn.modes.command_options import TRAINING_OPTIONS
from batchgnn.modes.kept_check import decisive
from batchgnn.modes.open import make_mode, plan_memory
from batchgnn.modes.share import Share
from batchgnn.run.folder import RunFolder
from batchgnn.run.logs.tools import log_of
from batchgnn.run.loop import TrainingLoop
from batchgnn.run.record import Record
from batchgnn.run.session import open_session
from batchgnn.run.survive import Survivor, surviving
from batchgnn.run.trained import take_trained, with_trained
from batchgnn.settings.general import Run, Training
from batchgnn.settings.settings import flag, options_of
from batchgnn.store.labels import TASKS
from batchgnn.watch import interrupt


def train(
    shards: Path,
    *,
    run: Path,
    resume: bool = False,
    config: Path | None = None,
    options: dict[str, Any],
) -> None:
    """Train a model on a shard store, on all ranks that were started.

    Parameters
    ----------
    shards
        shard store, made by `batchgnn partition`
    run
        folder to write: settings, metrics of every epoch, checkpoints, the best model, the result
    resume
        go on from the newest checkpoint of --run, on any number of ranks
    config
        TOML file with the same settings; the command line wins
    """
    if resume:
        options = _as_before(RunFolder(run), options)
    settings = settings_of(options if resume else with_trained(options))
    with interrupt.listening():
        surviving(lambda survivor: _train(shards, run, resume, survivor), settings)


def _train(shards: Path, run: Path, resume: bool, survivor: Survivor) -> None:
    """Train on the ranks that are there; raises RankLostError where others may go on."""
    folder, before = RunFolder(run), (survivor.settings, survivor.comm, survivor.lost)
    with open_session(shards, *before) as share, folder.lock:
        resume = survivor.begin(share, run, resume)
        with fail_together(share.grid.world, f"opening {run}"):
            _require_seeds(share)
            _require_memory(share)
            if share.is_first:
                _require_tools(share)
                folder.begin(resume=resume)
            _check_resume(folder, share, resume and not survivor.lost)
            share.own.load_features()
        train_share(share, folder, shards, resume, survivor)


app = TRAINING_OPTIONS.app(
    train, name="train", help="Train a model on a shard store.", help_epilogue=ending("train")
)


def _as_before(folder: RunFolder, options: dict[str, Any]) -> dict[str, Any]:
    """The options with the choices of the run; raises ConfigError where they are others now.

    A mode that was to be chosen was chosen when the run began.
    """
    before = folder.settings()
    chosen = {name: getattr(before[Chosen], name) for name in options_of(Chosen)}
    changed = [n for n, was in chosen.items() if options.get(n, was) not in (was, AUTO, None)]
    if options.get("ways") == (AUTO,):
        chosen |= {name: before.options().get(name) for name in ("ways", "batch_size")}
    _refuse_change(folder, changed)
    return options | chosen


def _refuse_change(folder: RunFolder, changed: list[str]) -> None:
    if changed:
        raise ConfigError(
            f"{folder.path} was trained with another {', '.join(map(flag, changed))}. Leave the "
            "option out to go on as before, or start a new --run."
        )


def _require_seeds(share: Share) -> None:
    """Raise ConfigError where there is nothing to train on."""
    index, manifest = share.split_index, share.manifest
    if share.task.seeds(share.own, index).total:
        return
    if manifest.task in TASKS and not manifest.num_classes:
        raise ConfigError(
            f"{share.own.path}: no vertex of {manifest.name} has a label. Convert the graph with "
            "labels: batchgnn data convert --help"
        )
    raise ConfigError(
        f"{share.own.path}: split {index} has no training {share.task.seeds_are}. Choose "
        "another --split-index, or convert it again, with a split that has some: "
        "batchgnn data convert --help"
    )


def _require_memory(share: Share) -> None:
    """Choose sizes that nothing was said of; raise MemoryPlanError where the run does not fit."""
    mode, extent = mode_of(share.settings), share.extent()
    allowed = extent.allowed
    share.settings = mode.fit(extent)
    plan_memory(share.extent()).require(allowed, mode.advice, mode.of_part)


def _require_tools(share: Share) -> None:
    """Raise ConfigError where what a log needs is not installed."""
    for tool in share.settings[Run].log:
        log_of(tool)


def _check_resume(folder: RunFolder, share: Share, resume: bool) -> None:
    """A resumed run must be the same problem: same shards, same numbers in every step."""
    if not resume:
        return
    manifest = share.manifest
    before = decisive(resolved(folder.settings(), manifest.task, manifest.feature_name))
    now = decisive(share.settings)
    _refuse_change(folder, [name for name in now if now[name] != before.get(name)])


def train_share(
    share: Share,
    folder: RunFolder,
    shards: Path,
    resume: bool,
    survivor: Survivor | None = None,
) -> None:
    """Train what is left, and write the run folder; collective."""
    mode = make_mode(share)
    record = Record(share, folder, shards)
    loop = TrainingLoop(share, mode, folder, record)
    is_begun = share.is_first and resume and folder.is_begun()
    if survivor is not None and survivor.kept is not None:
        loop.take_up(survivor.kept, is_over=survivor.is_over)
    elif allreduce_max(share.grid.world, int(is_begun), "whether to resume"):
        loop.restore()
        if _nothing_is_left(share, folder, loop):
            with record.logging(loop.finished):  # asked for late
                return
    else:
        with fail_together(share.grid.world, "--trained"):
            take_trained(share)
        _begin(share, folder, shards, resume)
    if share.is_first:
        folder.note_job(share.grid.size, share.grid.host, share.settings[Training].epochs)
    if survivor is not None:
        survivor.follow(loop)
    with record.logging(loop.finished):
        loop.train()
    record.end(loop.state, mode)


def _begin(share: Share, folder: RunFolder, shards: Path, resume: bool) -> None:
    """Say how the run begins."""
    if share.is_first and resume:
        print(f"batchgnn: {folder.path} has no checkpoint yet: it begins anew.")
        folder.cut_metrics(0)
    elif share.is_first:
        folder.write_settings(shards, share.settings)


def _nothing_is_left(share: Share, folder: RunFolder, loop: TrainingLoop) -> bool:
    """Whether the run has finished, result and all; says so. Collective."""
    told = share.is_first and loop.finished() and folder.has_result(loop.state.epoch)
    if told:
        print(f"batchgnn: {folder.path} has finished: give more --epochs to go on.")
        print(folder.summary(), flush=True)
    return bool(allreduce_max(share.grid.world, int(told), "whether to train"))
