"""Hash tables of ids: texts or integers -> the number that each got when it came first.

A slot is one uint64, 0 when it is free: 24 bits of the id's hash above 40 bits of its number + 1.
The ids themselves lie in their own arrays and decide, so that two with one hash stay two. Open
addressing (Knuth, TAOCP 3, 6.4, algorithm L); the caller keeps the table at most half full.
"""

import numpy as np
from numba.extending import register_jitable

from batchgnn.kernels.address import prefetch
from batchgnn.kernels.jit import kernel
from batchgnn.kernels.rng import GOLDEN, mix

NUMBER_BITS = np.uint64(40)
NUMBER = (np.uint64(1) << NUMBER_BITS) - np.uint64(1)
PRIME = np.uint64(0x100000001B3)
AHEAD = 16
"Ids whose slots are on the way from memory."


@register_jitable
def _word(data, at):
    """Eight bytes from `at` on; one load, as the compiler has it."""
    word, at = np.uint64(0), np.uint64(at)
    for j in range(np.uint64(8)):
        word |= np.uint64(data[at + j]) << (np.uint64(8) * j)
    return word


@register_jitable
def _hash_of(data, begin, end):
    """64 bits of some bytes: words, the last of which may overlap, each mixed in."""
    h = np.uint64(end - begin) * PRIME
    if end - begin < 8:
        for j in range(begin, end):
            h = (h ^ np.uint64(data[j])) * PRIME
        return mix(h)
    for j in range(begin, end - 8, 8):
        h = (h ^ _word(data, j)) * GOLDEN
        h ^= h >> np.uint64(32)
    return mix(h ^ _word(data, end - 8))


@register_jitable
def _same(data, begin, end, pool, first, last):
    length, j = end - begin, 0
    if length != last - first:
        return False
    while j + 8 <= length and _word(data, begin + j) == _word(pool, first + j):
        j += 8
    while j < length and data[begin + j] == pool[first + j]:
        j += 1
    return j == length


@kernel
def find_texts(data, begin, end, pool, start, table, count, add, out):
    """out[i] = the number of text data[begin[i] : end[i]]: as it is known, or else new or -1.

    data   uint8 (b,)          with begin, end int32 (k,)
    pool   uint8               texts that are known, one after another: number n is
    start  int64               pool[start[n] : start[n + 1]]; start[0] = 0
    table  uint64 (power of 2) more than twice as long as there are texts
    count  int                 texts that are known
    add    bool                whether unknown ones get a number; pool and start have room for all
    out    int64 (k,)          overwritten

    Returns how many texts are known now. About O(bytes of the texts).
    """
    hashes = np.empty(len(out), np.uint64)
    mask = np.uint64(len(table) - 1)
    for i in range(len(out)):
        hashes[i] = _hash_of(data, begin[i], end[i])
    for i in range(len(out)):
        if i + AHEAD < len(out):
            prefetch(table, np.int64(hashes[i + AHEAD] & mask))
            near = np.int64(table[hashes[i + AHEAD // 2] & mask] & NUMBER)
            prefetch(start, max(near - 1, 0))
            near = np.int64(table[hashes[i + AHEAD // 4] & mask] & NUMBER)
            prefetch(pool, start[max(near - 1, 0)])
        slot, tag = hashes[i] & mask, hashes[i] >> NUMBER_BITS
        out[i] = -1
        while table[slot]:
            n = np.int64(table[slot] & NUMBER) - 1
            same_hash = table[slot] >> NUMBER_BITS == tag
            if same_hash and _same(data, begin[i], end[i], pool, start[n], start[n + 1]):
                out[i] = n
                break
            slot = (slot + np.uint64(1)) & mask
        if out[i] < 0 and add:
            first = start[count]
            for j in range(begin[i], end[i]):
                pool[first + j - begin[i]] = data[j]
            start[count + 1] = first + end[i] - begin[i]
            table[slot] = (tag << NUMBER_BITS) | np.uint64(count + 1)
            out[i] = count
            count += 1
    return count


@kernel
def place_texts(pool, start, count, table):
    """Put texts 0 : count, which are distinct, into an empty table; arguments as `find_texts`."""
    mask = np.uint64(len(table) - 1)
    for n in range(count):
        h = _hash_of(pool, start[n], start[n + 1])
        slot = h & mask
        while table[slot]:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = (h >> NUMBER_BITS << NUMBER_BITS) | np.uint64(n + 1)


@kernel
def find_integers(ids, known, table, count, add, out):
    """out[i] = the number of ids[i]: as it is known, or else new or -1.

    ids    int64 (k,)
    known  int64               the ids by their numbers, with room for all when `add`
    others as `find_texts`; returns how many are known now. O(k).
    """
    mask = np.uint64(len(table) - 1)
    for i in range(len(ids)):
        if i + AHEAD < len(ids):
            prefetch(table, np.int64(mix(np.uint64(ids[i + AHEAD])) & mask))
        h = mix(np.uint64(ids[i]))
        slot, tag = h & mask, h >> NUMBER_BITS
        out[i] = -1
        while table[slot]:
            n = np.int64(table[slot] & NUMBER) - 1
            if table[slot] >> NUMBER_BITS == tag and known[n] == ids[i]:
                out[i] = n
                break
            slot = (slot + np.uint64(1)) & mask
        if out[i] < 0 and add:
            known[count] = ids[i]
            table[slot] = (tag << NUMBER_BITS) | np.uint64(count + 1)
            out[i] = count
            count += 1
    return count


@kernel
def place_integers(known, count, table):
    """Put known[:count], which are distinct, into an empty table; arguments as `find_integers`."""
    mask = np.uint64(len(table) - 1)
    for n in range(count):
        h = mix(np.uint64(known[n]))
        slot = h & mask
        while table[slot]:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = (h >> NUMBER_BITS << NUMBER_BITS) | np.uint64(n + 1)


@kernel
def mark_bits(ids, bits):
    """Set the bit of every id; int64 (k,) within uint8 (b,). Returns how many were not set."""
    num_new = 0
    for i in range(len(ids)):
        bit = np.uint8(1 << (ids[i] & 7))
        if not bits[ids[i] >> 3] & bit:
            bits[ids[i] >> 3] |= bit
            num_new += 1
    return num_new


@kernel
def marked_bits(bits, out):
    """The places of the bits that are set, ascending; uint8 (b,) to int64 (as many as set,)."""
    n = 0
    for byte in range(len(bits)):
        if bits[byte]:
            for j in range(8):
                if bits[byte] >> j & 1:
                    out[n] = byte * 8 + j
                    n += 1


@kernel
def look_up(ids, low, row_of, out):
    """out[i] = row_of[ids[i] - low], or -1 where that is outside of it; int64 (k,)."""
    num_rows = np.uint64(len(row_of))
    for i in range(len(ids)):
        at = np.uint64(ids[i]) - np.uint64(low)
        out[i] = row_of[np.int64(at)] if at < num_rows else -1


@kernel
def fill_texts(pool, start, first, out):
    """out[i] = text first + i, filled up with bytes 0; uint8 (k, longest), overwritten."""
    for i in range(len(out)):
        begin, length = start[first + i], start[first + i + 1] - start[first + i]
        for j in range(out.shape[1]):
            out[i, j] = pool[begin + j] if j < length else np.uint8(0)


@kernel
def reorder_texts(pool, start, order, new_pool, new_start):
    """Text n becomes that which was order[n]; arguments as `find_texts`, the new overwritten."""
    new_start[0] = 0
    for n in range(len(order)):
        first, last, at = start[order[n]], start[order[n] + 1], new_start[n]
        for j in range(last - first):
            new_pool[at + j] = pool[first + j]
        new_start[n + 1] = at + last - first


@kernel
def common_prefix(pool, start, count):
    """How many bytes all texts begin with alike."""
    length = start[1] - start[0] if count else 0
    for n in range(1, count):
        length = min(length, start[n + 1] - start[n])
        for j in range(length):
            if pool[start[n] + j] != pool[start[0] + j]:
                length = j
                break
    return length


@kernel
def text_words(pool, start, numbers, depth, out):
    """out[i] = bytes depth : depth + 8 of text numbers[i] as one number, 0 past its end; uint64."""
    for i in range(len(numbers)):
        first, last = start[numbers[i]] + depth, start[numbers[i] + 1]
        word = np.uint64(0)
        for j in range(first, first + 8):
            byte = pool[j] if j < last else np.uint8(0)
            word = (word << np.uint64(8)) | np.uint64(byte)
        out[i] = word
