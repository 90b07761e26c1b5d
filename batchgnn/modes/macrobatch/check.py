"""What options of mode macrobatch mean together."""

from batchgnn.base.bytes import parse_bytes
from batchgnn.base.errors import ConfigError
from batchgnn.modes.chosen import Chosen
from batchgnn.modes.inputs import inputs_of
from batchgnn.modes.kept_check import check_kept
from batchgnn.modes.macrobatch.options import Macrobatches
from batchgnn.nn.options import Layers
from batchgnn.sampling.options import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_FANOUTS,
    Batches,
    KeptInputs,
    Sampling,
)
from batchgnn.settings.settings import Settings, flag
from batchgnn.tasks.kinds import TASKS


def resolve_macrobatch(settings: Settings) -> Settings:
    """With fanouts for every layer, and inputs kept where that was said; raises ConfigError."""
    if settings[KeptInputs].aggregate_cache is None:
        settings = settings.replace(aggregate_cache="off")
    settings = _with_seed_edges(settings)
    fanouts = _fanouts(settings)
    check_kept(settings)
    _check_trained(settings)
    _check_sizes(settings)
    _check_some_kept(settings[Sampling], settings[KeptInputs])
    batch_size = settings[Batches].batch_size or DEFAULT_BATCH_SIZE
    return settings.replace(fanouts=fanouts, batch_size=batch_size)


def _with_seed_edges(settings: Settings) -> Settings:
    """With --exclude-seeds where seeds are edges; raises ConfigError where it cannot be."""
    task, said = TASKS[settings[Chosen].task or ""], settings[Sampling].exclude_seeds
    if not task.of_edges:
        if said is not None:
            raise ConfigError(
                "--exclude-seeds is about seeds that are edges, and those of --task "
                f"{task.name} are vertices: leave it out."
            )
        return settings
    sampling, kept = settings[Sampling], settings[KeptInputs]
    for name in ("feature_cache", "aggregate_memory"):
        if getattr(sampling, name) is not None:
            raise ConfigError(
                f"{flag(name)} chooses rows by how often seeds that are vertices need them, and "
                f"--task {task.name} trains on edges and any other vertices: leave it out."
            )
    excludes = said is None or said
    if excludes and kept.is_kept:
        raise ConfigError(
            f"--aggregate-cache {kept.aggregate_cache} adds up all edges once, and a step leaves "
            "its own ones out (--exclude-seeds): leave --aggregate-cache out, or take "
            "--no-exclude-seeds."
        )
    return settings.replace(exclude_seeds=excludes)


def _fanouts(settings: Settings) -> tuple[int, ...]:
    """One number per layer; the last is -1 when the first layer is not sampled."""
    layers, kept = settings[Layers].layers, settings[KeptInputs].is_kept
    fanouts = settings[Sampling].fanouts
    if fanouts is None:
        fanouts = (DEFAULT_FANOUTS + (DEFAULT_FANOUTS[-1],) * layers)[:layers]
    if kept and len(fanouts) == layers - 1:
        fanouts = (*fanouts, -1)
    if len(fanouts) != layers:
        raise ConfigError(
            f"--fanouts {' '.join(map(str, fanouts))} has {len(fanouts)} numbers for "
            f"--layers {layers}: give one per layer, from the seeds outward."
        )
    if any(f == 0 or f < -1 for f in fanouts):
        raise ConfigError(f"--fanouts {fanouts}: each must be at least 1, or -1 for all.")
    return (*fanouts[:-1], -1) if kept else tuple(fanouts)


def _check_trained(settings: Settings) -> None:
    cache = settings[Sampling].feature_cache
    if cache is not None and inputs_of(settings).is_trained:
        raise ConfigError(
            f"--feature-cache {cache} copies input rows before training, and --inputs embedding "
            "moves them in every step: leave --feature-cache out."
        )


def _check_sizes(settings: Settings) -> None:
    together, sampling = settings[Macrobatches], settings[Sampling]
    if together.macrobatch != "auto" and together.macrobatch < 1:
        raise ConfigError(f"--macrobatch {together.macrobatch}: give at least 1, or auto.")
    for size in (together.macrobatch_memory, together.evaluation_memory, sampling.feature_cache):
        if size is not None:
            parse_bytes(size)


def _check_some_kept(sampling: Sampling, kept: KeptInputs) -> None:
    if sampling.aggregate_memory is None:
        return
    if kept.aggregate_cache != "memory":
        raise ConfigError(
            "--aggregate-memory bounds --aggregate-cache memory, which is "
            f"{kept.aggregate_cache}: give both, or leave --aggregate-memory out."
        )
    parse_bytes(sampling.aggregate_memory)
    if sampling.topology == "node-shared":
        raise ConfigError(
            "--topology node-shared samples without asking the owners of the vertices, who "
            "alone know which of them --aggregate-memory keeps: leave one of the two out."
        )
