"""Rows of all vertices in equal numbers to the ranks, whatever the shards: for `mode tensor`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.graph.assign import Quotient, assign_shards
from batchgnn.graph.ownership import Ownership


def even_bounds(count: int, parts: int) -> np.ndarray:
    """int64 (parts + 1,): where each of nearly equal consecutive parts of `count` things begins."""
    return count * np.arange(parts + 1, dtype=np.int64) // parts


def group_shards(quotient: Quotient, num_ranks: int, ways: int | None, path: Path) -> np.ndarray:
    """int (K,): which group of `ways` ranks works on each shard; None: all ranks are one group.

    quotient: a manifest; path: its store, for errors. Raises ConfigError, StoreError.
    """
    if ways is None or ways == num_ranks:
        return np.zeros(quotient.num_shards, np.int64)
    if num_ranks % ways:
        raise ConfigError(
            f"--tensor-ways {ways}: {num_ranks} ranks are not groups of {ways}. Take a divisor of "
            "the number of ranks, or leave it out."
        )
    return assign_shards(quotient, num_ranks // ways, path)


@dataclass(frozen=True, eq=False)
class RowCut:
    """Consecutive vertices of a shard, a *piece*, belong to one rank.

    shard, begin, end  int64 (k,)   piece p has the rows begin : end of its shard; ascending ids
    ownership          which rank holds which piece, as if each were a shard
    """

    shard: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    ownership: Ownership


def cut_rows(offset: np.ndarray, part_of_shard: np.ndarray, ways: int) -> RowCut:
    """Deal the vertices of each part of the shards to `ways` ranks, in equal and consecutive runs.

    offset: int64 (K + 1,), first id of each shard, and the number of vertices
    part_of_shard: integers (K,); rank part x ways + w has run w of the part's vertices, which
    are numbered shard after shard. Every rank has a piece, if an empty one.
    """
    pieces: list[tuple[int, int, int, int]] = []  # first id, shard, end, rank
    for part in np.unique(part_of_shard).tolist():
        shards = np.flatnonzero(part_of_shard == part)
        first = np.concatenate([[0], np.cumsum(offset[shards + 1] - offset[shards])])
        bounds = even_bounds(int(first[-1]), ways)
        cuts = np.unique(np.concatenate([first, bounds]))
        shard = shards[np.searchsorted(first, cuts[:-1], side="right") - 1]
        begin = cuts[:-1] - first[np.searchsorted(shards, shard)] + offset[shard]
        run = np.searchsorted(bounds, cuts[:-1], side="right") - 1
        ranks = part * ways + run
        pieces += zip(
            begin.tolist(),
            shard.tolist(),
            (begin + np.diff(cuts)).tolist(),
            ranks.tolist(),
            strict=True,
        )
        here = int(offset[shards[0]])
        pieces += [
            (here, int(shards[0]), here, part * ways + w) for w in range(ways) if w not in run
        ]
    pieces.sort(key=lambda piece: (piece[0], piece[2]))
    begin, shard, end, rank = (np.array(each, np.int64) for each in zip(*pieces, strict=True))
    ownership = Ownership(np.append(begin, offset[-1]), rank)
    return RowCut(shard, begin - offset[shard], end - offset[shard], ownership)
