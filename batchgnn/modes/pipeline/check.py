"""What options of mode pipeline mean together, and with the number of ranks."""

from dataclasses import fields, replace

from batchgnn.base.errors import ConfigError
from batchgnn.modes.chosen import model_of
from batchgnn.modes.deal import Dealt, deal_shards
from batchgnn.modes.pipeline.options import Stages
from batchgnn.modes.whole.check import resolve_whole
from batchgnn.nn.options import Attention, BetweenLayers, Layers
from batchgnn.sampling.options import KeptInputs
from batchgnn.settings.settings import Settings, flag
from batchgnn.store.shard_store import ShardStore

MOST_PLAIN_LAYERS = 8
DEEP_AND_PLAIN = (
    f"batchgnn: more than {MOST_PLAIN_LAYERS} layers without --residual were seen not to learn in "
    "this mode: add it, or take --model gcnii."
)

NOT_OF_STAGES = {
    "tensor_ways": (
        "the ranks of a stage share its vertices, not its columns, which would be dealt and "
        "collected again for each product of a chunk: take --pipeline-ways, or --mode tensor."
    )
}
"Options of other modes, and why they are none of this one."


def resolve_pipeline(settings: Settings) -> Settings:
    """As of the whole graph; raises ConfigError."""
    settings = resolve_whole(settings)
    if settings[KeptInputs].aggregate_cache == "store":
        raise ConfigError(
            "--aggregate-cache store keeps a file for each rank's shards, and here the first stage "
            "needs them all: take --aggregate-cache memory."
        )
    stages = settings[Stages].stages
    if isinstance(stages, int) and stages < 1:
        raise ConfigError(f"--stages {stages}: needed a number of stages, at least 1, or auto.")
    if settings[Stages].wavefront and (others := not_of_wavefront(settings[Stages])):
        raise ConfigError(
            "--wavefront is exact, in one way, and keeps what forward makes: leave "
            f"{', '.join(map(flag, others))} out, or --wavefront."
        )
    if settings[Stages].gradient == "stale" and Attention in settings:
        raise ConfigError(
            f"--gradient stale cannot serve --model {model_of(settings).name}, whose gradients "
            "belong to edges and are not kept from epoch to epoch: take double or drop."
        )
    return settings


def not_of_wavefront(stages: Stages) -> list[str]:
    """Options that are not as they are by default, and that the exact order does not have."""
    kept = ("stages", "wavefront")
    names = [field.name for field in fields(Stages) if field.name not in kept]
    return [name for name in names if getattr(stages, name) != getattr(Stages(), name)]


def deal_stages(store: ShardStore, num_ranks: int, settings: Settings) -> Dealt:
    """Whole shards, for what is exact; a stage reads all of them. Raises ConfigError."""
    require_stages(settings, num_ranks)
    return replace(deal_shards(store, num_ranks, settings), every_shard=True)


def require_stages(settings: Settings, num_ranks: int) -> None:
    """Raise ConfigError where so many ranks cannot be the stages, in so many ways."""
    stages, ways = settings[Stages].stages, settings[Stages].pipeline_ways
    layers, found = settings[Layers].layers, num_ranks // ways
    if num_ranks % ways:
        raise ConfigError(
            f"--pipeline-ways {ways}: {num_ranks} ranks are not stages of {ways} each. Start a "
            "multiple of it, or take a divisor of the number of ranks."
        )
    if isinstance(stages, int) and stages != found:
        raise ConfigError(
            f"--stages {stages} times --pipeline-ways {ways} is not the number of ranks, "
            f"{num_ranks}: start {stages * ways} ranks, or leave --stages out."
        )
    if layers < found:
        raise ConfigError(
            f"--layers {layers} cannot be parted among {found} stages, each of which takes one "
            f"at least: start at most {layers * ways} ranks, or give more layers."
        )


def is_deep_and_plain(settings: Settings) -> bool:
    """Whether nothing leads past the layers of a deep model."""
    between = settings.get(BetweenLayers)
    is_plain = between is not None and not between.residual
    return is_plain and settings[Layers].layers > MOST_PLAIN_LAYERS
