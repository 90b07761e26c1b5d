"""Covering arrays: few rows of options that hold every pair of values that can stand together."""

import random
from itertools import combinations


def covering_array(starts, values_of, fits, helps, seed=0):
    """Rows, dictionaries, that hold every pair of values; and the pairs that none can hold.

    starts     rows that only make the choices which other options depend on
    values_of  name -> values, of what may be added to a start
    fits       whether a row, perhaps not complete, is allowed
    helps      rows that a pair, as a row, may need beside itself, tried in this order

    Greedy, a row at a time (Cohen et al., The AETG system, 1997): a pair that no row holds yet,
    then name by name the value that brings most pairs.
    """
    rng = random.Random(seed)
    columns = [(start, values_of(start)) for start in starts]
    left, rows, impossible = _all_pairs(columns), [], []
    while left:
        wanted = next(iter(left))
        pair = dict(wanted)
        begun = (_begun(help | pair, columns, left, fits) for help in helps(pair))
        row, values = next((each for each in begun if each[0]), (None, None))
        if row is None:
            impossible.append(pair)
            del left[wanted]
            continue
        names = sorted(values.keys() - row.keys())
        for name in rng.sample(names, len(names)):
            able = [value for value in values[name] if fits(row | {name: value})]
            gains = [_gain(row, (name, value), left) for value in able]
            if able:
                best = [
                    value for value, gain in zip(able, gains, strict=True) if gain == max(gains)
                ]
                row[name] = rng.choice(best)
        rows.append(row)
        for each in pairs_of(row):
            left.pop(each, None)
    return rows, impossible


def pairs_of(row):
    """Every two of a row's items, in the order of their names."""
    return combinations(sorted(row.items(), key=lambda item: item[0]), 2)


def _gain(row, item, left):
    """Pairs that are still to be held, of a new item with those of a row."""
    return sum(((a, item) if a[0] < item[0] else (item, a)) in left for a in row.items())


def _all_pairs(columns):
    """What is to be held: the keys, in order."""
    found = {}
    for values in {tuple(sorted(values)): values for _, values in columns}.values():
        for a, b in combinations(sorted(values), 2):
            found |= dict.fromkeys(((a, v), (b, w)) for v in values[a] for w in values[b])
    for start, values in columns:
        found |= dict.fromkeys(pairs_of(start))
        for item in start.items():
            others = ((name, value) for name in values for value in values[name])
            found |= dict.fromkeys((item, o) if item[0] < o[0] else (o, item) for o in others)
    return found


def _begun(wanted, columns, left, fits):
    """The start that holds `wanted`, or takes it, and brings most pairs; None where none can."""
    found, most = (None, None), -1
    for start, values in columns:
        if any(start.get(name, value) != value for name, value in wanted.items()):
            continue
        if not wanted.keys() <= start.keys() | values.keys():
            continue
        row = start | wanted
        gain = sum(pair in left for pair in pairs_of(row))
        if gain > most and fits(row):
            found, most = (row, values), gain
    return found
