"""Sets of ids that grow chunk by chunk; each id has a number, by when it came first."""

from itertools import pairwise

import numpy as np

from batchgnn.data.tables import Cells
from batchgnn.kernels.id_table import (
    common_prefix,
    fill_texts,
    find_integers,
    find_texts,
    mark_bits,
    marked_bits,
    place_integers,
    place_texts,
    reorder_texts,
    text_words,
)

LEAST_SLOTS = 1 << 10
FREE_BITS = 1 << 28
BITS_A_VERTEX = 64


def slots_for(count: int) -> int:
    """Slots of a table that `count` ids fill to half at most."""
    return max(LEAST_SLOTS, 1 << (2 * count).bit_length())


def grown(array: np.ndarray, used: int, needed: int) -> np.ndarray:
    """An array of at least `needed` elements whose first `used` are those of `array`."""
    if needed <= len(array):
        return array
    longer = np.empty(max(needed, len(array) * 3 // 2), array.dtype)
    longer[:used] = array[:used]
    return longer


class TextSet:
    """Distinct texts: their bytes one after another, 8 bytes each for where, 16 to 32 to find it.

    pool, start  text n is pool[start[n] : start[n + 1]], UTF-8
    """

    def __init__(self) -> None:
        """Empty."""
        self.pool, self.start, self.count = np.empty(0, np.uint8), np.zeros(1, np.int64), 0
        self.table = np.zeros(LEAST_SLOTS, np.uint64)

    def add(self, cells: Cells) -> np.ndarray:
        """int64 (k,): the number of each text, old or new."""
        most, used = self.count + len(cells.begin), int(self.start[self.count])
        num_bytes = int(np.sum(cells.end, dtype=np.int64) - np.sum(cells.begin, dtype=np.int64))
        self.pool = grown(self.pool, used, used + num_bytes)
        self.start = grown(self.start, self.count + 1, most + 1)
        if slots_for(most) > len(self.table):
            self.table = np.zeros(slots_for(most), np.uint64)
            place_texts(self.pool, self.start, self.count, self.table)
        return self._find(cells, add=True)

    def find(self, cells: Cells) -> np.ndarray:
        """int64 (k,): the number of each text, -1 where it is not there."""
        return self._find(cells, add=False)

    def _find(self, cells: Cells, *, add: bool) -> np.ndarray:
        out = np.empty(len(cells.begin), np.int64)
        known = self.pool, self.start, self.table
        self.count = find_texts(*cells, *known, self.count, add, out)
        return out

    @property
    def longest(self) -> int:
        """Bytes of the longest text."""
        return int(np.max(np.diff(self.start[: self.count + 1]), initial=0))

    def sort(self) -> None:
        """Number the texts in the order of their bytes, which is that of Python's texts."""
        pool, start = np.empty_like(self.pool), np.empty(self.count + 1, np.int64)
        reorder_texts(self.pool, self.start, self._order(), pool, start)
        self.pool, self.start, self.table = pool, start, np.zeros_like(self.table)
        place_texts(pool, start, self.count, self.table)

    def _order(self) -> np.ndarray:
        """int64 (count,): by 8 bytes, then by the next 8 of those that are alike so far, ..."""
        depth = common_prefix(self.pool, self.start, self.count)
        order, at = np.arange(self.count), np.arange(self.count)
        group = np.zeros(self.count, np.int64)
        while len(at):
            words = np.empty(len(at), np.uint64)
            text_words(self.pool, self.start, order[at], depth, words)
            by = np.lexsort((words, group)) if group.any() else np.argsort(words)
            order[at], words, group = order[at][by], words[by], group[by]
            apart = np.ones(len(at) + 1, bool)
            apart[1:-1] = (words[1:] != words[:-1]) | (group[1:] != group[:-1])
            alike = ~(apart[1:] & apart[:-1])
            at, group, depth = at[alike], np.cumsum(apart[:-1])[alike], depth + 8
        return order

    def texts(self, first: int, last: int) -> np.ndarray:
        """S* (last - first,): texts by their numbers."""
        out = np.empty((last - first, max(self.longest, 1)), np.uint8)
        fill_texts(self.pool, self.start, first, out)
        return out.view(f"S{out.shape[1]}")[:, 0]


def distinct(cells: Cells) -> tuple[list[str], np.ndarray]:
    """(the texts that occur, by when they come first; int64 (k,): which one each cell is)."""
    found = TextSet()
    which = found.add(cells)
    ends = found.start[: found.count + 1].tolist()
    raw = found.pool[: ends[-1]].tobytes()
    return [raw[a:b].decode() for a, b in pairwise(ends)], which


class IntegerSet:
    """Distinct integers, 8 bytes for each and 16 to 32 to find it."""

    def __init__(self) -> None:
        """Empty."""
        self.known, self.count = np.empty(0, np.int64), 0
        self.table = np.zeros(LEAST_SLOTS, np.uint64)

    def add(self, ids: np.ndarray) -> np.ndarray:
        """int64 (k,): the number of each id, old or new."""
        most = self.count + len(ids)
        self.known = grown(self.known, self.count, most)
        if slots_for(most) > len(self.table):
            self.table = np.zeros(slots_for(most), np.uint64)
            place_integers(self.known, self.count, self.table)
        return self._find(ids, add=True)

    def find(self, ids: np.ndarray) -> np.ndarray:
        """int64 (k,): the number of each id, -1 where it is not there."""
        return self._find(ids, add=False)

    def _find(self, ids: np.ndarray, *, add: bool) -> np.ndarray:
        out = np.empty(len(ids), np.int64)
        self.count = find_integers(ids, self.known, self.table, self.count, add, out)
        return out


class MarkedIntegers:
    """Distinct integers that are only collected: a bit for each small one, a set of the others.

    Small is below 2^28, or below 64 times as many as are marked.
    """

    def __init__(self) -> None:
        """Empty."""
        self.bits, self.num_marked, self.others = np.zeros(1 << 10, np.uint8), 0, IntegerSet()

    def add(self, ids: np.ndarray) -> None:
        """See some ids, int64 (k,)."""
        limit = max(FREE_BITS, BITS_A_VERTEX * self.num_marked)
        low, high = int(ids.min(initial=0)), int(ids.max(initial=0))
        if low < 0 or high >= limit:
            is_small = (ids >= 0) & (ids < limit)
            self.others.add(ids[~is_small])
            ids = ids[is_small]
            high = int(ids.max(initial=0))
        if high >= 8 * len(self.bits):
            longer = np.zeros(1 << (high // 8).bit_length(), np.uint8)
            longer[: len(self.bits)] = self.bits
            self.bits = longer
        self.num_marked += mark_bits(ids, self.bits)

    def sorted(self) -> np.ndarray:
        """int64 (N,): all of them, ascending."""
        marked = np.empty(self.num_marked, np.int64)
        marked_bits(self.bits, marked)
        if not self.others.count:
            return marked
        return np.unique(np.concatenate([marked, self.others.known[: self.others.count]]))
