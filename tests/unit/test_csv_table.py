"""Text read as bytes is what Python's reader makes of it, in blocks of any size."""

import csv
import io
import itertools
import random

import numpy as np
import pytest

from batchgnn.base.errors import DataError
from batchgnn.data import blocks, csv_table, tables
from batchgnn.data.csv_chunks import CellChunk
from batchgnn.data.csv_table import CsvTable

PLAIN = ("7", "0", "12", "-3", "a", "bob", "zoë", "x y", "1.5", "-0.25", "1e3", "2.5E-7", "")
STRANGE = (
    "007", "+5", "-0", "1_0", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
    "18446744073709551616", "0.1000000000000000055511151231257827", "1e400", "1e-400", "inf", "nan",
    "NA", "none", ".5", "5.", ".", "-", "+", "e5", "1e", "1e+", "1e5000", "٣", "\uff11", "#x",
    "%", "a#", 'a"b', '"', '"a"', '"a,b"', '"a ""b"""', '"a"b', '" a "', '"a\nb"', '"7"', '"#7"',
    '""', "\xa0a", "a\u3000", "\u2003", "é", "a\tb", "\t", "a\x1c", "\x85", "日本", "a" * 40,
    "4.35", "0.30000000000000004", "123456789012345678901234567890", "9007199254740993", "1e22",
    "1e23", "-1.7976931348623157e308", "[1 2]", "1;2",
)  # fmt: skip
LINES = ("", "  ", "# a comment", "%", "#", '# it\'s "one"', "1", "1,2,3,4,5,6", "\x00", "7 8")


def any_text(rng):
    """A table as text: mostly sound, with some cells and lines that are not."""
    delimiter, width = rng.choice(",;\t |"), rng.randint(1, 4)
    strange, end = rng.choice([0, 0, 0.02, 0.3]), rng.choice(["\n", "\n", "\r\n", "\r"])
    lines = []
    for _ in range(rng.randint(1, 12)):
        cells = [rng.choice(STRANGE if rng.random() < strange else PLAIN) for _ in range(width)]
        if delimiter == " " and rng.random() < 0.9:
            cells = [cell.replace(" ", "") or "0" for cell in cells]
        pad = [rng.choice(["", "", "", " ", "  "]) for _ in cells]
        lines.append(delimiter.join(p + c + p for p, c in zip(pad, cells, strict=True)))
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        lines.insert(rng.randint(0, len(lines)), rng.choice(LINES))
    text = end.join(lines) + rng.choice(["", end, end, end * 3])
    return rng.choice(["", "", "\ufeff"]) + text, delimiter


def outcome(path, delimiter):
    """All that a table says of its columns, or the sentence with which it refuses."""
    try:
        table = CsvTable(path, delimiter=delimiter, header=False)
        parts = []
        for chunk in table.chunks():
            columns = range(len(table.columns))
            texts = [chunk.text(column) for column in columns]
            assert texts == [texts_of(chunk.cells(column)) for column in columns]
            parts.append(
                (
                    list(zip(*texts, strict=True)),
                    [listed(chunk.integers(column)) for column in columns],
                    [listed(chunk.canonical(column)) for column in columns],
                    [numbers(chunk, c, missing) for c in columns for missing in (False, True)],
                    chunk.first_row,
                )
            )
        return parts, table.num_comments
    except DataError as error:
        return str(error)


def texts_of(cells):
    ends = zip(cells.begin, cells.end, strict=True)
    return [cells.data[begin:end].tobytes().decode() for begin, end in ends]


def listed(values):
    return None if values is None else values.tolist()


def numbers(chunk, column, missing):
    try:
        values = chunk.numbers([column], missing=missing)
    except DataError as error:
        return str(error)
    return values.tobytes()


def slow(monkeypatch):
    monkeypatch.setattr(CsvTable, "_places", lambda *_: None)


@pytest.mark.parametrize("seed", range(8))
def test_bytes_and_pythons_reader_agree_on_every_text(seed, tmp_path, monkeypatch):
    rng = random.Random(seed)
    texts = [any_text(rng) for _ in range(400)]
    found = []
    for reader in ("fast", "slow"):
        if reader == "slow":
            slow(monkeypatch)
        for number, (text, delimiter) in enumerate(texts):
            path = tmp_path / f"{number}.csv"
            path.write_bytes(text.encode())
            found.append(outcome(path, delimiter))
    for (text, _), fast, exact in zip(texts, found[:400], found[400:], strict=True):
        assert fast == exact, text
    assert 50 < sum(isinstance(result, str) for result in found[:400]) < 350


def rows_by_python(text, delimiter):
    """The rows of a whole text, or None where Python's reader refuses it."""
    lines = io.StringIO(text.removeprefix("\ufeff"), newline="")
    lines = itertools.dropwhile(lambda line: not line.strip() or line[0] in "#%", lines)
    if delimiter == " ":
        lines = map(str.rstrip, lines)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        rows = [row for row in reader if not (row and row[0].startswith(("#", "%")))]
    except csv.Error:
        return None
    while rows and not rows[-1]:
        rows.pop()
    return [tuple(cell.strip() for cell in row) for row in rows]


@pytest.mark.parametrize("size", [1, 3, 16, 64])
def test_rows_are_those_of_the_text_in_blocks_of_any_size(size, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", size)
    rng, num_taken = random.Random(size), 0
    for number in range(400):
        text, delimiter = any_text(rng)
        path = tmp_path / f"{number}.csv"
        path.write_bytes(text.encode())
        found = outcome(path, delimiter)
        if not isinstance(found, str):
            rows = [row for part in found[0] for row in part[0]]
            width = len(rows[0]) if rows else 0
            assert rows == [row[:width] for row in rows_by_python(text, delimiter)], text
            num_taken += 1
    assert num_taken > 100


def test_a_quoted_cell_may_reach_over_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 8)
    path = tmp_path / "t.csv"
    path.write_text('1,2\n3,"a\nb\nc ""d"" and more"\n' + "5,6\n" * 9)
    chunks = list(CsvTable(path, header=False).chunks())
    assert [row for chunk in chunks for row in chunk.text(1)] == [
        "2", 'a\nb\nc "d" and more', *["6"] * 9
    ]  # fmt: skip
    assert [chunk.first_row for chunk in chunks] == sorted({chunk.first_row for chunk in chunks})
    assert isinstance(chunks[-1], CellChunk)


def test_plain_quoted_and_accented_tables_are_read_as_bytes(tmp_path):
    for text in ("a,1\nb,2\n", '"a","1"\n"b,c","2"\n', "é,1\r\n日本,2\r\n", "a 1 \n b  2\n", "1,2"):
        path = tmp_path / "t.csv"
        path.write_text(text, newline="")
        table = CsvTable(path, header=False)
        assert all(isinstance(chunk, CellChunk) for chunk in table.chunks()), text


def test_numbers_are_rounded_as_python_rounds_them(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.standard_normal(3000) * 10.0 ** rng.integers(-320, 300, 3000)
    cells = [repr(x) for x in values.tolist()] + [f"{x:.{i % 20}g}" for i, x in enumerate(values)]
    cells += [f"{x:.{i % 9}f}" for i, x in enumerate(rng.standard_normal(3000) * 1e3)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(f"{cell},0" for cell in cells))
    chunks = CsvTable(path, header=False).chunks()
    found = np.concatenate([chunk.numbers([0])[:, 0] for chunk in chunks])
    assert found.tobytes() == np.array(list(map(float, cells))).tobytes()


def test_a_bad_row_is_named_in_a_late_block(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 64)
    monkeypatch.setattr(tables, "CELLS_PER_CHUNK", 4)
    path = tmp_path / "t.csv"
    path.write_text("# one\n" + "1,2\n" * 1000 + "3\n")
    with pytest.raises(DataError, match="row 1,002: 1 cells found, needed 2"):
        list(csv_table.CsvTable(path, header=False).chunks())
