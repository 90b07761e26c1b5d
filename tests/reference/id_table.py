"""Numbers of ids, by dictionaries; the tables are left as they are."""

import numpy as np


def _texts(pool, start, count):
    return [pool[start[n] : start[n + 1]].tobytes() for n in range(count)]


def find_texts(data, begin, end, pool, start, table, count, add, out):
    """By a dictionary of bytes."""
    number = {text: n for n, text in enumerate(_texts(pool, start, count))}
    for i, (b, e) in enumerate(zip(begin, end, strict=True)):
        text = data[b:e].tobytes()
        if text not in number and add:
            n = number[text] = len(number)
            start[n + 1] = start[n] + e - b
            pool[start[n] : start[n + 1]] = data[b:e]
        out[i] = number.get(text, -1)
    return len(number)


def place_texts(pool, start, count, table):
    """Nothing: a dictionary needs no table."""


def find_integers(ids, known, table, count, add, out):
    """By a dictionary of integers."""
    number = {int(known[n]): n for n in range(count)}
    for i, ident in enumerate(ids.tolist()):
        if ident not in number and add:
            known[len(number)] = ident
            number[ident] = len(number)
        out[i] = number.get(ident, -1)
    return len(number)


def place_integers(known, count, table):
    """Nothing: a dictionary needs no table."""


def mark_bits(ids, bits):
    """By unpacked bits."""
    unpacked = np.unpackbits(bits, bitorder="little")
    before = unpacked.sum()
    unpacked[ids] = 1
    bits[:] = np.packbits(unpacked, bitorder="little")
    return int(unpacked.sum() - before)


def marked_bits(bits, out):
    """By unpacked bits."""
    out[:] = np.flatnonzero(np.unpackbits(bits, bitorder="little"))


def look_up(ids, low, row_of, out):
    """One by one."""
    for i, ident in enumerate(ids.tolist()):
        out[i] = row_of[ident - low] if 0 <= ident - low < len(row_of) else -1


def fill_texts(pool, start, first, out):
    """One by one."""
    out[:] = 0
    for i in range(len(out)):
        text = pool[start[first + i] : start[first + i + 1]]
        out[i, : len(text)] = text


def reorder_texts(pool, start, order, new_pool, new_start):
    """By joining."""
    texts = _texts(pool, start, len(order))
    chosen = [texts[n] for n in order]
    new_start[:] = np.cumsum([0, *map(len, chosen)])
    new_pool[: new_start[-1]] = np.frombuffer(b"".join(chosen), np.uint8)


def common_prefix(pool, start, count):
    """By the least and the greatest."""
    texts = _texts(pool, start, count)
    if not texts:
        return 0
    low, high = min(texts), max(texts)
    same = [a == b for a, b in zip(low, high, strict=False)]
    return same.index(False) if False in same else len(same)


def text_words(pool, start, numbers, depth, out):
    """By `int.from_bytes`."""
    for i, n in enumerate(numbers):
        word = pool[start[n] : start[n + 1]].tobytes()[depth : depth + 8]
        out[i] = int.from_bytes(word.ljust(8, b"\0"), "big")
