"""The settings of a run put together: which options its mode, model and task have, and defaults.

"Given, but not an option of this mode, model or task" is derived from where an option lives.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from batchgnn.base.errors import ConfigError
from batchgnn.modes.chosen import AUTO, Chosen, model_of
from batchgnn.modes.inputs import inputs_of, resolve_inputs
from batchgnn.modes.kinds import MODES, ModeKind
from batchgnn.nn.models import MODELS, ModelKind
from batchgnn.nn.norm import NORMS
from batchgnn.nn.options import BetweenLayers, Heads, Layers
from batchgnn.settings.general import FeatureDtype, Features, Optimiser, Run, Training
from batchgnn.settings.settings import Settings, flag, options_of
from batchgnn.tasks.kinds import TASKS, TaskKind
from batchgnn.tasks.options import Losses, Negatives, Scoring

ALWAYS: tuple[type, ...] = (Chosen, Training, Optimiser, Features, Run)
TABLES: Mapping[str, Mapping[str, Any]] = {"mode": MODES, "model": MODELS, "task": TASKS}


def mode_of(settings: Settings) -> ModeKind:
    """The row of the mode, which must be chosen."""
    return MODES[settings[Chosen].mode]


def task_of(settings: Settings) -> TaskKind:
    """The row of the task, once resolved."""
    return TASKS[settings[Chosen].task or ""]


def every_subject() -> tuple[type, ...]:
    """All subjects that there are, those of every run first."""
    found = [s for table in TABLES.values() for kind in table.values() for s in kind.options]
    return tuple(dict.fromkeys([*ALWAYS, *found]))


def subjects_for(chosen: Chosen) -> tuple[type, ...]:
    """The subjects of a run; of all modes or tasks where one is still to be chosen."""
    found = list(ALWAYS)
    for what, table in TABLES.items():
        for kind in _possible(what, getattr(chosen, what), table):
            found += kind.options
    return tuple(dict.fromkeys(found))


def _possible(what: str, name: str | None, table: Mapping[str, Any]) -> Iterable[Any]:
    if name is None or name == AUTO:
        return table.values()
    if name not in table:
        known = ", ".join(table)
        raise ConfigError(f"--{what} {name}: there is none of that name. Choose from {known}.")
    return [table[name]]


def settings_of(given: Mapping[str, Any] | None = None, **more: Any) -> Settings:
    """Settings with what is given of their options, by name; the others are defaults.

    Raises ConfigError where an option is not one of this mode, model or task.
    """
    options = {**(given or {}), **more}
    chosen = _chosen(options)
    if chosen.model != Chosen.model:
        options["model"] = chosen.model
    subjects = subjects_for(chosen)
    known = _names(subjects)
    for name in options:
        if name not in known:
            raise ConfigError(_foreign(name, chosen))
    return Settings(subjects, options)


def _chosen(options: Mapping[str, Any]) -> Chosen:
    """The three choices, with the mode's own default of the model."""
    chosen = Chosen(**{name: options[name] for name in options_of(Chosen) if name in options})
    if "model" in options or chosen.mode not in MODES:
        return chosen
    return replace(chosen, model=MODES[chosen.mode].model)


def _foreign(name: str, chosen: Chosen) -> str:
    """Why an option cannot be given here, and with what it could be."""
    for what, table in TABLES.items():
        with_it = [
            kind.name
            for kind in table.values()
            if any(name in options_of(subject) for subject in kind.options)
        ]
        if with_it:
            others = " or ".join([", ".join(with_it[:-1]), with_it[-1]] if with_it[1:] else with_it)
            here = getattr(chosen, what)
            instead = getattr(table.get(here), "instead", {})
            advice = instead.get(name, f"leave it out, or take another {what}.")
            return (
                f"{flag(name)} is an option of --{what} {others}, and this is --{what} {here}: "
                f"{advice}"
            )
    return f"{flag(name)}: there is no such option."


def changed(settings: Settings, **options: Any) -> Settings:
    """Settings with other options, perhaps of another mode, model or task; the rest as far as it
    still applies. Raises ConfigError where there is no such option at all.
    """
    given = settings.given | options
    chosen = _chosen(given)
    here, anywhere = _names(subjects_for(chosen)), _names(every_subject())
    return settings_of({k: v for k, v in given.items() if k in here or k not in anywhere})


def _names(subjects: Iterable[type]) -> set[str]:
    return {name for subject in subjects for name in options_of(subject)}


def resolved(settings: Settings, manifest_task: str, stored: str = "float32") -> Settings:
    """With defaults that depend on other options and on the shards; raises ConfigError.

    manifest_task: what the shards were made for; stored: what their features are stored as
    """
    settings = _with_task(settings, manifest_task)
    _check_model(settings, mode_of(settings))
    _check_trained_inputs(settings, mode_of(settings))
    settings, stored = resolve_inputs(settings, stored)
    settings = mode_of(settings).resolve(settings)
    return settings.replace(feature_dtype=_feature_dtype(settings[Features].feature_dtype, stored))


def _with_task(settings: Settings, manifest_task: str) -> Settings:
    """The task, and the score that chooses."""
    fitting = [task.name for task in TASKS.values() if task.manifest_task == manifest_task]
    if not fitting:
        raise ConfigError(
            f"these shards are of {manifest_task}, which no task learns from: take others, of a "
            f"graph that was converted for {' or '.join(TASKS)}."
        )
    name = settings[Chosen].task or fitting[0]
    settings = settings_of(settings.given, task=name)
    task, metric = task_of(settings), settings[Scoring].metric
    if task.manifest_task != manifest_task:
        raise ConfigError(
            f"--task {name} needs shards of {task.manifest_task}, and these are of "
            f"{manifest_task}: leave --task out, or convert the graph again with another --task."
        )
    if metric is not None and metric not in task.metrics:
        raise ConfigError(
            f"--metric {metric} is no score of --task {name}: take "
            f"{', '.join(task.metrics[:-1])} or {task.metrics[-1]}."
        )
    task.check(settings)
    loss = settings.get(Losses)
    if loss is None:
        return settings.replace(metric=metric or task.metrics[0])
    if loss.loss not in (None, *task.losses):
        raise ConfigError(
            f"--loss {loss.loss} is no loss of --task {name}: take {' or '.join(task.losses)}."
        )
    return settings.replace(metric=metric or task.metrics[0], loss=loss.loss or task.losses[0])


def _check_model(settings: Settings, mode: ModeKind) -> None:
    """Raise ConfigError where the model's widths do not fit, or the mode cannot train it."""
    model, heads, layers = model_of(settings), settings.get(Heads), settings.get(Layers)
    _check_events(settings, mode)
    _check_roots(settings, mode)
    hidden = 0 if layers is None else layers.hidden
    if heads is not None and hidden % heads.heads:
        raise ConfigError(
            f"--hidden {hidden} is not a multiple of --heads {heads.heads}: {model.name} joins "
            f"heads of equal width. Try --hidden {max(hidden // heads.heads, 1) * heads.heads}."
        )
    between = settings.get(BetweenLayers)
    can = [m for m in MODES.values() if _can_train(m, model)]
    names = " or ".join(m.name for m in can)
    if mode not in can:
        raise ConfigError(
            f"--model {model.name} cannot be trained by --mode {mode.name}, {model.needs}: take "
            f"--mode {names}, or another model."
        )
    norm = "none" if between is None else between.norm
    over_all = [m for m in MODES.values() if m.whole_graph and m.at_once]
    if norm != "none" and NORMS[norm].whole_graph and mode not in over_all:
        raise ConfigError(
            f"--norm {norm} takes its means over all vertices, and a step of --mode {mode.name} "
            "does not have them at once: take --norm layer, or --mode "
            f"{' or '.join(m.name for m in over_all)}."
        )


def _check_events(settings: Settings, mode: ModeKind) -> None:
    """Raise ConfigError where one of mode and task is of events, and the other is of vertices."""
    task = task_of(settings)
    if mode.of_events != task.of_events:
        fitting = [each.name for each in MODES.values() if each.of_events == task.of_events]
        raise ConfigError(
            f"--mode {mode.name} does not train on what these shards are for, --task {task.name}: "
            f"take --mode {' or '.join(fitting)}, or other shards."
        )


def _check_roots(settings: Settings, mode: ModeKind) -> None:
    """Raise ConfigError where the task asks for rows of other ranks, and the mode has own ones."""
    task = task_of(settings)
    if task.far_roots and not mode.far_roots:
        fitting = [each.name for each in MODES.values() if each.far_roots]
        raise ConfigError(
            f"--mode {mode.name} does not train --task {task.name}, whose edges join vertices of "
            f"several ranks: take --mode {' or '.join(fitting)}."
        )
    negatives = settings.get(Negatives)
    if negatives is not None and negatives.drawn[0] == "local" and not mode.apart:
        fitting = [each.name for each in MODES.values() if each.apart]
        raise ConfigError(
            f"--negatives {negatives.negatives} are of a trainer's own vertices, and --mode "
            f"{mode.name} has no trainers: take uniform:{negatives.drawn[1]}, or --mode "
            f"{' or '.join(fitting)}."
        )


def _check_trained_inputs(settings: Settings, mode: ModeKind) -> None:
    """Raise ConfigError where input rows are to be trained, and the mode cannot."""
    if inputs_of(settings).is_trained and not mode.trains_inputs:
        fitting = [each.name for each in MODES.values() if each.trains_inputs]
        raise ConfigError(
            f"--inputs embedding is given, but not built for --mode {mode.name}: take --mode "
            f"{' or '.join(fitting)}, or --inputs degree."
        )


def _can_train(mode: ModeKind, model: ModelKind) -> bool:
    if mode.of_events != model.of_events:
        return False
    return mode.whole_graph >= model.whole_graph and mode.propagates >= model.propagates


def _feature_dtype(wanted: FeatureDtype | None, stored: str) -> str:
    if wanted not in (None, stored) and stored != "float32":
        raise ConfigError(
            f"--feature-dtype {wanted}: these shards hold {stored}, which lacks digits for it. "
            f"Leave it out, or cut the graph again: batchgnn partition GRAPH.h5 SHARDS "
            f"--feature-dtype {wanted}"
        )
    return wanted or stored
