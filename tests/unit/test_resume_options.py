"""Which options a resumed run may change: those that leave the numbers of a step as they are."""

import pytest

from batchgnn.modes.assembly import resolved, settings_of
from batchgnn.modes.kept_check import decisive

KEPT = {"aggregate_cache": "memory", "fanouts": (5, 5, 5)}
RESUMES = {
    "another place": (KEPT, {"aggregate_cache": "store"}, False),
    "kept no more": (KEPT, {"aggregate_cache": "off"}, True),
    "kept from now on": ({"fanouts": (5, 5, 5)}, {"aggregate_cache": "memory"}, True),
    "fewer are kept": (KEPT, {"aggregate_memory": "1M"}, False),
    "fewer, half-width": (
        {**KEPT, "feature_dtype": "float16"},
        {"aggregate_memory": "1M"},
        True,
    ),
    "more threads": (KEPT, {"threads": 3}, False),
    "another seed": (KEPT, {"seed": 3}, True),
}


@pytest.mark.parametrize(("before", "now", "differs"), RESUMES.values(), ids=RESUMES)
def test_a_resume_may_change_what_leaves_the_numbers(before, now, differs):
    old, new = (
        decisive(resolved(settings_of(each), "multiclass")) for each in (before, before | now)
    )
    assert (old != new) is differs
