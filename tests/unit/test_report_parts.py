"""Small parts of the report: the ticks of an axis, how seconds and ages are said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgnn.report import svg
from batchgnn.report.html import say_seconds
from batchgnn.report.run import say_age


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(3, 9))
def test_ticks_lie_inside_and_are_about_as_many_as_asked(low, length, count):
    found = svg.ticks(low, low + length, count)
    room = 1e-6 * (abs(low) + length)
    assert all(low - room <= value <= low + length + room for value in found)
    assert len(found) <= count + 1
    if length > 1e-3 * abs(low):
        assert len(found) >= count // 3


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0 s"), (12.34, "12.3 s"), (1234.5, "1,234 s"), (0.0456, "45.6 ms"), (2e-6, "2.00 µs")],
)
def test_seconds_are_said_in_three_digits(value, said):
    assert say_seconds(value) == said


@pytest.mark.parametrize(
    ("age", "said"), [(5, "5 seconds"), (61, "1 minute"), (7300, "2 hours"), (90000, "1 day")]
)
def test_ages_are_said_in_their_largest_unit(age, said):
    assert say_age(age) == said
