"""The options whose pairs are tried on ranks are all that `train` has, and no pair is left out."""

from itertools import combinations

from covering import covering_array
from option_values import ELSEWHERE, GRAPH, GRAPHS, VALUES, option_rows, pairs_array, why_not

from batchgnn.modes.assembly import every_subject
from batchgnn.modes.chosen import AUTO
from batchgnn.modes.kinds import MODES
from batchgnn.nn.models import MODELS
from batchgnn.settings.settings import options_of
from batchgnn.tasks.kinds import TASKS


def test_every_option_of_train_has_its_values_in_the_table():
    options = {name for subject in every_subject() for name in options_of(subject)}
    assert VALUES.keys() == options - ELSEWHERE
    assert all(len(values) > 1 for values in VALUES.values())
    assert {*VALUES["mode"], *VALUES["model"]} == {*MODES, *MODELS}
    assert {*VALUES["task"]} == {None, *TASKS} - {"vertex-labels"}


def test_every_pair_of_values_is_in_a_row_or_refused_with_a_sentence():
    """What no row holds has two values that are refused together in every mode and model."""
    rows, impossible = pairs_array()
    held = {pair for row in rows for pair in combinations(sorted(row.items(), key=_name), 2)}
    lost = [tuple(sorted(pair.items(), key=_name)) for pair in impossible]
    assert not held.intersection(lost)
    assert all(why_not(row) is None for row in rows)
    assert (("aggregate_cache", "store"), ("mode", "tensor")) in lost
    assert (("mode", "macrobatch"), ("norm", "batch")) in lost
    assert {row[GRAPH] for row in rows} == GRAPHS.keys()


def test_every_value_is_tried_in_a_mode_of_its_own_and_in_one_that_is_chosen():
    every = {(name, value) for name, values in VALUES.items() for value in values}
    for of_auto in (False, True):
        rows = [row for row in option_rows() if (row["mode"] == AUTO) == of_auto]
        held = {item for row in rows for item in row.items()}
        assert {(n, v) for n, v in every - held if not (of_auto and n == "mode")} == set()


def _name(item):
    return item[0]


def test_a_covering_array_holds_all_pairs_and_names_those_that_cannot_be():
    values = {"a": (0, 1), "b": (0, 1, 2), "c": (0, 1), "d": (0, 1)}
    starts = [{"kind": "x"}, {"kind": "y"}]

    def fits(row):
        return not (row.get("a") == 1 and row.get("b") == 2) and ("d" not in row or "e" in row)

    def values_of(start):
        return values | ({"e": (5, 6)} if start["kind"] == "y" else {})

    rows, impossible = covering_array(starts, values_of, fits, lambda pair: [{}, {"e": 5}])
    held = {pair for row in rows for pair in combinations(sorted(row.items(), key=_name), 2)}
    every = {
        ((a, v), (b, w))
        for a, b in combinations(sorted(values), 2)
        for v in values[a]
        for w in values[b]
    }
    assert every - held == {(("a", 1), ("b", 2))}
    assert {"a": 1, "b": 2} in impossible
    assert {"d": 0, "kind": "x"} in impossible
    assert len(rows) < 20
