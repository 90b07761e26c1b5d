"""Kernels that read tables: cells, numbers and ids, as Python has them."""

import numpy as np
import pytest
import reference.cells
import reference.id_table
from reference.cells import rows_of

from batchgnn.data.id_sets import IntegerSet, MarkedIntegers, TextSet
from batchgnn.data.tables import cells_of
from batchgnn.kernels import cells, id_table

TEXTS = {
    "plain": "1,2,3\n4,5,6\n",
    "spaces and nothing": " 1 ,, 3\r\n,,\n",
    "accents": "é,日本,zoë\n",
    "a comment": "1,2,3\n#,2,3\n",
    "ragged": "1,2,3\n1,2\n",
    "too many": "1,2,3,4\n",
    "blank": "1,2,3\n\n",
    "a wide space": "1,\u3000a,b\n",
    "a wide space at the end": "1,a,b\u2003\n",
    "a wide space before spaces": "1,a\xa0 ,b\n",
    "control": "1,a\x1cb,b\n",
    "a return": "1,a\rb,c\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("delimiter", ",; ")
@pytest.mark.parametrize("trailing", [False, True])
def test_find_cells(text, delimiter, trailing):
    data = np.frombuffer(text.replace(",", delimiter).encode(), np.uint8)
    slot, found = np.array([1, -1, 0]), []
    for module in (cells, reference.cells):
        begin, end = np.full((2, 2, 8), -7, np.int32)
        n = module.find_cells(data, np.uint8(ord(delimiter)), slot, trailing, begin, end)
        parts = [data[b:e].tobytes() for b, e in zip(begin.flat, end.flat, strict=True)]
        found.append((n, parts if n > 0 else []))
    assert found[0] == found[1]


def test_quotes_are_taken_off():
    text = '"a",b\n "c d" ,"e,f"\n'.replace(" ,", ",")
    data = np.frombuffer(text.encode(), np.uint8)
    begin, end = np.empty((2, 2, 2), np.int32)
    assert cells.find_cells(data, np.uint8(44), np.array([0, 1]), False, begin, end) == 2
    found = [[data[begin[c, r] : end[c, r]].tobytes().decode() for c in (0, 1)] for r in (0, 1)]
    assert found == rows_of(text, ",")
    for broken in ('"a"b,c\n', '"a""b",c\n', '"a,c\n', '"#a",c\n'):
        data = np.frombuffer(broken.encode(), np.uint8)
        assert cells.find_cells(data, np.uint8(44), np.array([0, 1]), False, begin, end) == -1


INTEGERS = (
    ("7", "0", "-12", "9223372036854775807"), ("07",), ("+7",), ("-0",), ("x",), ("",), ("-",),
    ("9223372036854775808",), ("12345678901234567890",), ("1.0",), ("1_0",),
    ("-9223372036854775808",),
)  # fmt: skip


@pytest.mark.parametrize("texts", INTEGERS)
def test_parse_integers(texts):
    ours, wanted = np.full((2, len(texts)), -9)
    kind = cells.parse_integers(*cells_of(texts), ours)
    assert kind == reference.cells.parse_integers(*cells_of(texts), wanted)
    assert kind == cells.ODD or ours.tolist() == wanted.tolist()


def test_parse_numbers():
    texts = "1 -1.5 .5 5. . 1e3 1e-3 1E+22 1e23 9007199254740992 9007199254740993 x 1e e5 -0 +3"
    texts = [*texts.split(), "", "1e1000", "0.00000000000000000001", "1.5e-5x", "--1", "1-", "1_0"]
    ours, wanted = np.full((2, len(texts)), -9.0)
    odd, odd_too = np.empty((2, len(texts)), bool)
    count = cells.parse_numbers(*cells_of(texts), ours, odd)
    assert count == reference.cells.parse_numbers(*cells_of(texts), wanted, odd_too)
    assert odd.tolist() == odd_too.tolist()
    assert ours[~odd].tobytes() == wanted[~odd].tobytes()


def some_texts(rng, count):
    words = ["", "a", "ab", "abc", "user_1", "user_12", "ÿ", "z" * 30, "z" * 30 + "a"]
    return [f"{words[rng.integers(9)]}{'' if i % 3 else rng.integers(50)}" for i in range(count)]


@pytest.mark.parametrize("add", [True, False])
def test_find_texts(add):
    rng = np.random.default_rng(3)
    known, asked = cells_of(some_texts(rng, 20)), cells_of(some_texts(rng, 300))
    results = []
    for module in (id_table, reference.id_table):
        pool, start, table = np.zeros(9999, np.uint8), np.zeros(999, np.int64), np.zeros(1024, "u8")
        first, out = np.empty(20, np.int64), np.empty(300, np.int64)
        count = module.find_texts(*known, pool, start, table, 0, True, first)
        table[:] = 0
        module.place_texts(pool, start, count, table)
        count = module.find_texts(*asked, pool, start, table, count, add, out)
        results.append([count, first.tolist(), out.tolist(), pool.tolist(), start.tolist()])
    assert results[0] == results[1]


@pytest.mark.parametrize("add", [True, False])
def test_find_integers(add):
    rng = np.random.default_rng(4)
    results = []
    for module in (id_table, reference.id_table):
        known, table = np.zeros(999, np.int64), np.zeros(1024, np.uint64)
        rng = np.random.default_rng(4)
        first, ids = rng.integers(-20, 20, 30), rng.integers(-50, 50, 300) * 2**40
        out = np.empty((2, 300), np.int64)
        count = module.find_integers(first, known, table, 0, True, out[0])
        table[:] = 0
        module.place_integers(known, count, table)
        count = module.find_integers(ids, known, table, count, add, out[1])
        results.append([count, out[0, :30].tolist(), out[1].tolist(), known.tolist()])
    assert results[0] == results[1]


def test_texts_with_one_hash_stay_two():
    """A table whose slots all have the tag of what is asked for, and other numbers."""
    ours = TextSet()
    ours.add(cells_of(["a", "b"]))
    (slot,) = np.flatnonzero((ours.table & id_table.NUMBER) == 1)
    tag = ours.table[slot] & ~id_table.NUMBER
    ours.table[:] = 0
    ours.table[slot] = tag | np.uint64(2)  # b, under the hash of a
    ours.table[(slot + 1) % len(ours.table)] = tag | np.uint64(1)
    assert ours.find(cells_of(["a"])).tolist() == [0]


def test_marks_look_ups_and_texts_by_number():
    rng = np.random.default_rng(5)
    texts = sorted(set(some_texts(rng, 60)))
    one = cells_of(texts)
    start, pool = np.append(one.begin, one.end[-1]).astype(np.int64), one.data
    order, row_of = rng.permutation(len(texts)), rng.integers(0, 9, 40)
    ids, far = rng.integers(0, 80, 50), rng.integers(-60, 60, 50)
    results = []
    for module in (id_table, reference.id_table):
        bits, marked, rows = np.zeros(10, np.uint8), np.empty(len(set(ids)), np.int64), far.copy()
        counts = module.mark_bits(ids, bits), module.mark_bits(ids, bits)
        module.marked_bits(bits, marked)
        module.look_up(far, -20, row_of, rows)
        filled, words = np.full((4, 33), 9, np.uint8), np.empty(len(texts), np.uint64)
        module.fill_texts(pool, start, 3, filled)
        module.text_words(pool, start, order, 2, words)
        new_pool, new_start = np.zeros_like(pool), np.empty_like(start)
        module.reorder_texts(pool, start, order, new_pool, new_start)
        prefixes = [module.common_prefix(pool, start[n:], k) for n in (0, 5) for k in (0, 1, 2, 9)]
        arrays = bits, marked, rows, filled, words, new_pool, new_start
        results.append([*counts, *prefixes, *(each.tolist() for each in arrays)])
    assert results[0] == results[1]


def test_sets_grow_and_sort():
    rng = np.random.default_rng(6)
    texts, integers, marks = TextSet(), IntegerSet(), MarkedIntegers()
    seen, numbers = [], []
    for _ in range(5):
        part = [f"user_{n:x}" for n in rng.integers(0, 3000, 1000)] + some_texts(rng, 50)
        ids = rng.integers(-(2**62), 2**62, 1000) >> int(rng.integers(0, 62))
        places, known = texts.add(cells_of(part)), integers.add(ids)
        marks.add(ids)
        seen, numbers = seen + part, [*numbers, *ids.tolist()]
        assert [texts.texts(n, n + 1)[0].decode() for n in places] == part
        assert integers.known[known].tolist() == ids.tolist()
    texts.sort()
    assert [t.decode() for t in texts.texts(0, texts.count)] == sorted(set(seen))
    assert texts.find(cells_of(sorted(set(seen)))).tolist() == list(range(texts.count))
    assert texts.find(cells_of(["nobody"])).tolist() == [-1]
    assert marks.sorted().tolist() == sorted(set(numbers))
