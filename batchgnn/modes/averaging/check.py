"""What options of mode averaging mean together, and which trainer has which shards."""

from collections.abc import Sequence

import numpy as np

from batchgnn.base.errors import ConfigError, StoreError
from batchgnn.comm.loss import Lost, numbers
from batchgnn.graph.deal import deal_shards_to
from batchgnn.graph.ownership import Ownership
from batchgnn.modes.averaging.options import Trainers
from batchgnn.modes.averaging.rounds import Round, parse_round, rounds_within
from batchgnn.modes.deal import Dealt, deal_shards
from batchgnn.modes.macrobatch.check import resolve_macrobatch
from batchgnn.modes.share import Share
from batchgnn.modes.survival import Survival, drops
from batchgnn.sampling.options import KeptInputs, Sampling
from batchgnn.settings.general import Run, Training
from batchgnn.settings.settings import Settings
from batchgnn.store.shard_store import ShardStore
from batchgnn.tasks.options import Negatives


def resolve_averaging(settings: Settings) -> Settings:
    """As macrobatch does, and the rounds that a time limit allows; raises ConfigError."""
    options = settings[Trainers]
    each = parse_round(options.round)
    if settings[KeptInputs].aggregate_cache == "store":
        raise ConfigError(
            "--aggregate-cache store keeps what is made from all edges, and trainers have those "
            "among their own shards: take --aggregate-cache memory, or leave it out."
        )
    if settings[Sampling].topology == "node-shared":
        raise ConfigError(
            "--topology node-shared has all edges, and trainers have those among their own "
            "shards: leave it out."
        )
    if options.server_steps is not None and not options.num_server_steps:
        raise ConfigError(
            f"--server-steps {options.server_steps} are steps on the whole graph, and --average "
            f"{options.average} takes none: take --average llcg, or leave it out."
        )
    if options.evaluator and options.num_server_steps:
        raise ConfigError("--average llcg takes steps by all ranks: leave --evaluator out.")
    if options.evaluator and settings[Run].stage_to is not None:
        raise ConfigError(
            "--stage-to copies the shards of each rank, and the evaluator reads all: leave one out."
        )
    if options.time_limit is not None:
        epochs = rounds_within(options.time_limit, each)
        if settings.given.get("epochs", epochs) != epochs:
            raise ConfigError("--time-limit and --epochs both say how long: leave one out.")
        settings = settings.replace(epochs=epochs)
    if Negatives in settings and settings[Negatives].negatives is None:
        settings = settings.replace(negatives="local:1")
    _check_survival(settings, each)
    return resolve_macrobatch(settings)


def ranks_of_trainer(settings: Settings, num_ranks: int) -> int:
    """Ranks of each trainer; raises ConfigError where ranks do not make so many groups.

    Or where seeds are compared with vertices that a trainer does not have.
    """
    options = settings[Trainers]
    trainers = options.trainers or num_ranks - options.evaluator
    groups = trainers + options.evaluator
    if not trainers or num_ranks % groups:
        also = " and --evaluator" * options.evaluator
        raise ConfigError(
            f"--trainers {trainers}{also}: {num_ranks} ranks cannot be parted among so many "
            f"trainers. Take {'one less than ' * options.evaluator}a divisor of {num_ranks}, or "
            "other ranks."
        )
    if trainers > 1:
        _require_own(settings)
    return num_ranks // groups


def ranks_that_train(settings: Settings, num_ranks: int) -> int:
    """All ranks but those of the evaluator, which are the last ones. Raises as above."""
    width = ranks_of_trainer(settings, num_ranks)
    return num_ranks - width * settings[Trainers].evaluator


def deal_trainers(store: ShardStore, num_ranks: int, settings: Settings) -> Dealt:
    """Whole shards, drawn by the seed: trainer t has ranks t W ... t W + W - 1; one has all.

    Raises ConfigError where ranks do not make trainers, StoreError where shards are too few.
    """
    width, num_shards = ranks_of_trainer(settings, num_ranks), store.manifest.num_shards
    if width > 1 and drops(settings):
        raise ConfigError(
            f"--on-loss drop is for trainers of one rank, and these have {width}: leave --trainers "
            "out, or take --on-loss abort."
        )
    if width == num_ranks:
        return deal_shards(store, num_ranks, settings)
    training = ranks_that_train(settings, num_ranks)
    if num_shards < training:
        raise StoreError(
            f"{store.path} has {num_shards} shards, and {training} ranks train: start fewer, or "
            "cut it into more shards."
        )
    seed = settings[Training].seed
    ranks = deal_shards_to(num_shards, training // width, training, seed)
    return Dealt(Ownership(store.manifest.offset, ranks))


def _require_own(settings: Settings) -> None:
    """Raise ConfigError where edges are compared with vertices that a trainer does not have."""
    negatives = settings.get(Negatives)
    if negatives is not None and negatives.drawn[0] not in ("local", "in-batch"):
        kind, count = negatives.drawn
        raise ConfigError(
            f"--negatives {kind}:{count} are any vertices, and a trainer has its own alone: take "
            f"local:{count} or in-batch, or --trainers 1."
        )


def _check_survival(settings: Settings, each: Round) -> None:
    """Raise ConfigError where options have no effect, or ranks do more than train and may be lost.

    each: round of the settings
    """
    options, survival = settings[Trainers], settings[Survival]
    if not drops(settings) and not survival.redeal:
        raise ConfigError(
            "--no-redeal is about shards of ranks that are lost, without which the job ends: take "
            "--on-loss drop, or leave it out."
        )
    if not drops(settings) and survival.straggler_deadline is not None and each.steps is None:
        raise ConfigError(
            f"--straggler-deadline: rounds of {each} end by the clock, and none waits for a late "
            "trainer longer than its step: take --on-loss drop, which ends those that do not come, "
            "or leave it out."
        )
    if drops(settings) and (options.evaluator or options.average == "llcg"):
        what = "--evaluator" if options.evaluator else "--average llcg"
        raise ConfigError(
            f"--on-loss drop does not go together with {what}, whose ranks could be lost as well: "
            "leave one of both out."
        )


def deal_trainers_again(
    store: ShardStore, num_ranks: int, settings: Settings, lost: Sequence[Lost]
) -> Dealt:
    """As they were dealt, the shards of the lost to those that are left, in the order of loss."""
    first = num_ranks + len(lost)
    ranks = deal_shards_to(store.manifest.num_shards, first, first, settings[Training].seed)
    return Dealt(Ownership(store.manifest.offset, dealt_again(ranks, num_ranks, lost)))


def is_dealt_at_first(share: Share) -> np.ndarray:
    """bool (K,): the shards that this rank, a trainer, had before any rank was lost."""
    grid, num_shards = share.grid, share.manifest.num_shards
    first = grid.size + len(grid.lost)
    mine = numbers(grid.size, grid.lost)[grid.rank]
    return deal_shards_to(num_shards, first, first, share.settings[Training].seed) == mine


def dealt_again(ranks: np.ndarray, num_ranks: int, lost: Sequence[Lost]) -> np.ndarray:
    """int32 (K,): the rank of each shard among those that are left, numbered anew.

    Each shard of a lost rank goes to one that has the fewest then.
    ranks: int32 (K,), as they were dealt at first
    """
    ranks, left = ranks.copy(), set(range(num_ranks + len(lost)))
    for each in lost:
        left -= {each.rank}
        held = {rank: int((ranks == rank).sum()) for rank in sorted(left)}
        for shard in np.flatnonzero(ranks == each.rank):
            to = min(held, key=lambda rank: held[rank])
            ranks[shard], held[to] = to, held[to] + 1
    return np.searchsorted(numbers(num_ranks, lost), ranks).astype(np.int32)
