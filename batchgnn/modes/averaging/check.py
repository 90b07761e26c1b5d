"""What options of mode averaging mean together, and which trainer has which shards."""

from collections.abc import Sequence

import numpy as np

from batchgnn.base.errors import ConfigError, StoreError
from batchgnn.base.rng import Purpose
from batchgnn.comm.loss import Lost, numbers
from batchgnn.graph.ownership import Ownership
from batchgnn.kernels.rng import fill_draws, stream_key
from batchgnn.modes.averaging.options import Trainers
from batchgnn.modes.averaging.rounds import parse_round, rounds_within
from batchgnn.modes.deal import Dealt, deal_shards
from batchgnn.modes.macrobatch.check import resolve_macrobatch
from batchgnn.modes.share import Share
from batchgnn.modes.survival import drops
from batchgnn.sampling.options import KeptInputs, Sampling
from batchgnn.settings.general import Training
from batchgnn.settings.settings import Settings
from batchgnn.store.shard_store import ShardStore


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
    if options.time_limit is not None:
        epochs = rounds_within(options.time_limit, each)
        if settings.given.get("epochs", epochs) != epochs:
            raise ConfigError("--time-limit and --epochs both say how long: leave one out.")
        settings = settings.replace(epochs=epochs)
    return resolve_macrobatch(settings)


def ranks_of_trainer(settings: Settings, num_ranks: int) -> int:
    """Ranks of each trainer; raises ConfigError where ranks do not make so many groups."""
    trainers = settings[Trainers].trainers or num_ranks
    if num_ranks % trainers:
        raise ConfigError(
            f"--trainers {trainers}: {num_ranks} ranks cannot be parted among so many trainers. "
            f"Take a divisor of {num_ranks}, or other ranks."
        )
    return num_ranks // trainers


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
    if num_shards < num_ranks:
        raise StoreError(
            f"{store.path} has {num_shards} shards, and there are {num_ranks} ranks: start "
            "fewer, or cut it into more shards."
        )
    seed = settings[Training].seed
    ranks = deal_shards_to(num_shards, num_ranks // width, num_ranks, seed)
    return Dealt(Ownership(store.manifest.offset, ranks))


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


def deal_shards_to(num_shards: int, trainers: int, num_ranks: int, seed: int) -> np.ndarray:
    """int32 (K,): the rank of each shard. Trainers have equal numbers of shards, up to one.

    Which trainer has a shard depends on the shards, the trainers and the seed alone.
    """
    shards, bits = np.arange(num_shards), np.empty(num_shards, np.uint64)
    fill_draws(np.uint64(stream_key(seed, Purpose.TRAINERS, 0, 0, 0)), shards, bits)
    shuffled = np.lexsort((shards, bits))
    found = np.empty(num_shards, np.int32)
    width = num_ranks // trainers
    for t, mine in enumerate(np.array_split(shuffled, trainers)):
        for way, some in enumerate(np.array_split(np.sort(mine), width)):
            found[some] = t * width + way
    return found
