"""Cells of a table, by Python's own reader and its own numbers."""

import csv
import re

from reference.nearest import nearest_float

STRANGE = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def find_cells(data, delimiter, slot, trailing, begin, end):
    """By splitting: of lines without quotes alone."""
    mark = bytes([delimiter])
    lines = data.tobytes().split(b"\n")[:-1]
    at = 0
    for row, line in enumerate(lines):
        text = line.removesuffix(b"\r")
        if delimiter == ord(" "):
            text = text.rstrip(b" ")
            pieces = [(m.start(), m.end()) for m in re.finditer(rb"[^ ]+", text)]
        else:
            ends = [m.start() for m in re.finditer(re.escape(mark), text)] + [len(text)]
            pieces = list(zip([0, *(e + 1 for e in ends[:-1])], ends, strict=True))
        cells = [text[b:e].strip(b" ") for b, e in pieces]
        bad = len(cells) != len(slot) or not text or cells[0].startswith((b"#", b"%"))
        bad = bad or b"\r" in text or STRANGE.search(text) or (b"\t" in text and mark != b"\t")
        if bad or (trailing and cells[-1]):
            return -1
        for cell, (b, e), place in zip(cells, pieces, slot, strict=True):
            if cell.decode() != cell.decode().strip():
                return -1
            if place >= 0:
                lead = len(text[b:e]) - len(text[b:e].lstrip(b" "))
                first = at + (e if not cell else b + lead)
                begin[place, row], end[place, row] = first, first + len(cell)
        at += len(line) + 1
    return len(lines)


def rows_of(text, delimiter):
    """The cells of a text as Python's csv has them, without spaces around."""
    reader = csv.reader(text.splitlines(), delimiter=delimiter, skipinitialspace=True, strict=True)
    return [[cell.strip() for cell in row] for row in reader]


def _cells(data, begin, end):
    return [data[b:e].tobytes().decode() for b, e in zip(begin, end, strict=True)]


def parse_integers(data, begin, end, out):
    """By `int`."""
    kind = 0
    for i, cell in enumerate(_cells(data, begin, end)):
        if not re.fullmatch("[+-]?[0-9]{1,19}", cell) or not -(2**63) <= int(cell) < 2**63:
            return 2
        out[i] = int(cell)
        if cell != str(int(cell)):
            kind = 1
    return kind


def parse_numbers(data, begin, end, out, odd):
    """By `float`."""
    for i, cell in enumerate(_cells(data, begin, end)):
        found = re.fullmatch(r"([+-]?)([0-9]*)\.?([0-9]*)(?:[eE]([+-]?[0-9]{1,3}))?", cell)
        digits = found and found[2] + found[3]
        power = found and int(found[4] or 0) - len(found[3])
        good = digits and len(digits) <= 19
        if good and int(digits):
            _, good = nearest_float(int(digits), power)
        odd[i] = not good
        if good:
            out[i] = float(cell)
    return int(odd.sum())
