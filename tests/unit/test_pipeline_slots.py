"""How idle stages are, of slots of any length: by hand, and the bubble of the formula."""

import numpy as np
import pytest

from batchgnn.modes.pipeline.slots import least_idle


def lengths_of(stages, chunks, forward, backward):
    """Chunk t passes stage s in slot t + s, backward in the reversed order of the stages."""
    out = np.zeros((stages, 2, chunks + stages - 1))
    for stage in range(stages):
        out[stage, 0, stage : stage + chunks] = forward[stage]
        behind = stages - 1 - stage
        out[stage, 1, behind : behind + chunks] = backward[stage]
    return out


@pytest.mark.parametrize(("stages", "chunks"), [(1, 5), (2, 8), (4, 3)])
def test_slots_of_one_length_leave_the_bubble(stages, chunks):
    lengths = lengths_of(stages, chunks, [0.5] * stages, [2.0] * stages)
    assert least_idle(lengths) == pytest.approx((stages - 1) / (chunks + stages - 1))


def test_a_slow_chunk_is_waited_for_by_the_stage_behind():
    """Forward: 1 + 3 and then 1 behind it, 5 in all, of which 4 and 3 are used; backward 1 and 1
    in turn."""
    lengths = lengths_of(2, 2, [[1, 3], [2, 1]], [[1, 0], [1, 0]])
    assert least_idle(lengths) == pytest.approx(1 - (5 + 4) / 2 / (5 + 2))


def test_without_slots_nobody_was_idle():
    assert least_idle(np.zeros((2, 2, 3))) == 0
