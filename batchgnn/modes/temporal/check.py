"""Defaults of mode temporal, and what cannot be, also on a number of ranks."""

from math import prod

from batchgnn.base.errors import ConfigError
from batchgnn.graph.missing import LOST_UPDATES
from batchgnn.modes.chosen import AUTO
from batchgnn.modes.deal import Dealt, deal_shards
from batchgnn.modes.temporal.options import DEFAULT_BATCH_SIZE, Timeline
from batchgnn.modes.temporal.published import negatives_file
from batchgnn.nn.options import States
from batchgnn.sampling.options import Batches
from batchgnn.settings.settings import Settings
from batchgnn.store.shard_store import ShardStore
from batchgnn.tasks.options import EVAL_NEGATIVES, Negatives


def resolve_temporal(settings: Settings) -> Settings:
    """With a batch size, unless ways are chosen; ConfigError where options do not go together."""
    states, options = settings[States], settings[Timeline]
    if rest := states.state_width % states.state_heads:
        raise ConfigError(
            f"--state-width {states.state_width} is not a multiple of --state-heads "
            f"{states.state_heads}: try --state-width {states.state_width - rest}."
        )
    if (
        negatives_file(settings) is not None
        and settings[Negatives].eval_negatives != EVAL_NEGATIVES
    ):
        raise ConfigError(
            "--eval-negatives-file says how many negatives there are: leave --eval-negatives out."
        )
    if is_auto(options):
        return settings  # the batch size is chosen with the ways
    if options.lost_updates != LOST_UPDATES:
        raise ConfigError("--lost-updates is of --ways auto, which was not given: leave it out.")
    return settings.replace(batch_size=settings[Batches].batch_size or DEFAULT_BATCH_SIZE)


def deal_vertices(store: ShardStore, num_ranks: int, settings: Settings) -> Dealt:
    """Whole shards; raises ConfigError where the ranks are not those of --ways."""
    ways_of(settings, num_ranks)
    return deal_shards(store, num_ranks, settings)


def is_auto(options: Timeline) -> bool:
    """Whether ways are to be chosen."""
    return options.ways == (AUTO,)


def ways_of(settings: Settings, num_ranks: int) -> tuple[int, int, int]:
    """Slices, slots, copies; raises ConfigError where they are not the ranks."""
    ways = settings[Timeline].ways or (num_ranks, 1, 1)
    numbers = [each for each in ways if isinstance(each, int) and each > 0]
    if len(numbers) != 3 or len(ways) != 3 or prod(numbers) != num_ranks:
        raise ConfigError(
            f"--ways {' '.join(map(str, ways))}: three numbers, whose product is the number of "
            f"ranks, {num_ranks} here, or auto: take --ways {num_ranks} 1 1."
        )
    slices, ahead, copies = numbers
    return slices, ahead, copies
