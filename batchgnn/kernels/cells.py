"""Cells of a table in the bytes of its lines: where they are, and the numbers that they hold.

What is unusual is told, never guessed at: then a slow reader looks at the same bytes.
"""

import numpy as np
from numba.extending import register_jitable

from batchgnn.kernels.jit import kernel
from batchgnn.kernels.nearest import nearest_float

SPACE, QUOTE, NEWLINE, RETURN, HASH, PERCENT = (np.uint8(ord(c)) for c in ' "\n\r#%')
NOUGHT, NINE, PLUS, MINUS, POINT = (np.uint8(ord(c)) for c in "09+-.")
SMALL_E, LARGE_E = np.uint8(ord("e")), np.uint8(ord("E"))
ASCII = np.uint8(0x80)

LONGEST_CELL = 1 << 17
"Longer ones Python's reader refuses."

CANONICAL, PLAIN, ODD = 0, 1, 2
"What all integers of a column are: as one writes them, at least digits, or other text."

MOST_DIGITS = 19
"So many digits are below 2^64."

LEAST = np.uint64(1) << np.uint64(63)
"Of 64 bits, without its sign."

SIGN = np.uint64(63)


@register_jitable
def _is_wide_space(data, begin, end):
    """Whether a cell begins or ends with a space beyond ASCII."""
    for at in (begin, end - 2, end - 3):
        if at < begin or data[at] < ASCII:
            continue
        a, b = data[at], data[at + 1]
        c = data[at + 2]  # at least the newline is there
        if a == 0xC2 and (b == 0x85 or b == 0xA0) and (at == begin or at == end - 2):
            return True
        if at == end - 2:
            continue
        if a == 0xE1 and b == 0x9A and c == 0x80:
            return True
        if a == 0xE2 and b == 0x80 and (c <= 0x8A or c == 0xA8 or c == 0xA9 or c == 0xAF):
            return True
        if (a == 0xE2 and b == 0x81 and c == 0x9F) or (a == 0xE3 and b == 0x80 and c == 0x80):
            return True
    return False


@register_jitable
def _next_cell(data, at, delimiter):
    """(first and last of the cell at `at` without spaces around, as it began, what follows it).

    What follows is -1 where the cell is unusual.
    """
    while data[at] == SPACE:
        at += 1
    first = at
    if data[at] == QUOTE:
        first += 1
        at += 1
        while data[at] >= SPACE and data[at] != QUOTE:
            at += 1
        last = at
        at = at + 1 if data[at] == QUOTE else -1
    else:
        while data[at] >= SPACE and data[at] != delimiter:
            at += 1
        last = at
        if delimiter == SPACE and first == last:
            at = -1
    began = first
    if last - first > LONGEST_CELL:
        at = -1
    while first < last and data[first] == SPACE:
        first += 1
    while first < last and data[last - 1] == SPACE:
        last -= 1
    wide = first < last and (data[first] >= ASCII or data[last - 1] >= ASCII)
    if wide and _is_wide_space(data, first, last):
        at = -1
    return first, last, began, at


@kernel
def find_cells(data, delimiter, slot, trailing, begin, end):
    """Where the cells of a table's rows are, without quotes and spaces around them.

    data        uint8 (b,)      whole lines of UTF-8, the last byte is a newline
    delimiter   uint8           below 128
    slot        int64 (width,)  row of `begin` and `end` of each column, -1 where it is not wanted
    trailing    bool            whether the last column has to be empty
    begin, end  int32 (k, at least as many as lines)  overwritten: data[begin : end] is a cell

    Returns the number of rows, or -1 where a line is anything but as many cells as `width`, plain
    or in quotes: comments, blank lines, quotes within quotes, control characters. O(b).
    """
    at, row, width = 0, 0, len(slot)
    while at < len(data):
        if data[at] == NEWLINE or data[at] == RETURN:
            return -1
        for column in range(width):
            first, last, began, at = _next_cell(data, at, delimiter)
            is_last = column == width - 1
            if at < 0 or (not is_last and data[at] != delimiter):
                return -1
            if column == 0 and (data[began] == HASH or data[began] == PERCENT):
                return -1
            if is_last and trailing and first < last:
                return -1
            if slot[column] >= 0:
                begin[slot[column], row] = first
                end[slot[column], row] = last
            at += not is_last
        while delimiter == SPACE and data[at] == SPACE:
            at += 1
        at += data[at] == RETURN
        if data[at] != NEWLINE:
            return -1
        at += 1
        row += 1
    return row


@kernel
def parse_integers(data, begin, end, out):
    """out[i] = the integer of cell i; returns CANONICAL, PLAIN, or ODD, where `out` is worthless.

    data        uint8 (b,)
    begin, end  int32 (k,)
    out         int64 (k,)

    CANONICAL: every cell is as Python writes its number (`7`, not `007` or `+7`). ODD: a cell may
    be no integer of 64 bits; it may be one that is written strangely.
    """
    kind = CANONICAL
    for i in range(len(out)):
        at, last = begin[i], end[i]
        negative = at < last and data[at] == MINUS
        if at < last and (negative or data[at] == PLUS):
            at += 1
            if not negative:
                kind = PLAIN
        if at == last or last - at > MOST_DIGITS:
            return ODD
        if data[at] == NOUGHT and (last - at > 1 or negative):
            kind = PLAIN
        value = np.uint64(0)
        for j in range(at, last):
            digit = data[j] - NOUGHT
            if data[j] < NOUGHT or data[j] > NINE:
                return ODD
            value = value * np.uint64(10) + np.uint64(digit)
        if value >> np.uint64(63) and not (negative and value == LEAST):
            return ODD
        out[i] = -np.int64(value) if negative else np.int64(value)
    return kind


@kernel
def parse_numbers(data, begin, end, out, odd):
    """out[i] = the float64 of cell i, as Python reads it, where it is simply written.

    data        uint8 (b,)
    begin, end  int32 (k,)
    out         float64 (k,)
    odd         bool (k,)     overwritten: cells that are left to others, whose `out` is anything

    Returns how many are odd: of more than 19 digits, or what `nearest_float` does not know.
    """
    num_odd, bits = 0, out.view(np.uint64)
    for i in range(len(out)):
        value, power, good = _decimal(data, begin[i], end[i])
        negative = begin[i] < end[i] and data[begin[i]] == MINUS
        found = np.uint64(0)
        if good and value:
            found, good = nearest_float(value, power)
        bits[i] = found | (np.uint64(negative) << SIGN)
        odd[i] = not good
        num_odd += odd[i]
    return num_odd


@register_jitable
def _decimal(data, at, last):
    """(digits as uint64, power of ten, whether it is a number of at most 19 digits), no sign."""
    if at < last and (data[at] == MINUS or data[at] == PLUS):
        at += 1
    value, power, num_digits, after_point = np.uint64(0), 0, 0, False
    while at < last:
        c = data[at]
        if c == POINT and not after_point:
            after_point = True
        elif NOUGHT <= c <= NINE:
            value = value * np.uint64(10) + np.uint64(c - NOUGHT)
            num_digits += 1
            power -= after_point
        else:
            break
        at += 1
    good = 0 < num_digits <= MOST_DIGITS
    if at < last and (data[at] == SMALL_E or data[at] == LARGE_E):
        at += 1
        down = at < last and data[at] == MINUS
        if at < last and (down or data[at] == PLUS):
            at += 1
        good &= 0 < last - at <= 3
        exponent = 0
        while at < last and NOUGHT <= data[at] <= NINE:
            exponent = exponent * 10 + np.int64(data[at] - NOUGHT)
            at += 1
        power += -exponent if down else exponent
    return value, power, good and at == last
