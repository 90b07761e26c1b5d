"""Who trains on which batch in a step, and which negatives it has then."""

import pytest

from batchgnn.modes.temporal.schedule import Schedule


@pytest.mark.parametrize("ahead", [1, 2, 3, 4])
@pytest.mark.parametrize("copies", [1, 2])
def test_a_batch_is_trained_once_with_each_set_of_negatives(ahead, copies):
    """In consecutive steps of one slot, the first of which reads and tells memories of it."""
    schedule, seen, told = Schedule(53, 6, ahead, copies), {}, {c: [] for c in range(copies)}
    assert schedule.num_batches == 9
    for step in range(schedule.num_steps):
        for copy in range(copies):
            if (turn := schedule.told(step, copy)) is not None:
                assert turn == schedule.turn(step, copy, step % ahead)
                assert turn.age == 0
                told[copy].append(turn.first)
            for slot in range(ahead):
                if (turn := schedule.turn(step, copy, slot)) is not None:
                    age = (step - slot) % ahead
                    begun = (step - age + copy * 9 // copies) % 9
                    assert (turn.first, turn.age) == (6 * begun, age)
                    seen.setdefault((copy, turn.first), []).append((step, slot, age))
    assert all(sorted(batches) == list(range(0, 53, 6)) for batches in told.values())
    assert len(seen) == 9 * copies
    for times in seen.values():
        first, slot, _ = times[0]
        assert times == [(first + age, slot, age) for age in range(ahead)]
    counts = [schedule.count(step) for step in range(schedule.num_steps)]
    assert sum(counts) == 53 * ahead * copies


def test_a_stream_without_training_events_has_no_steps():
    assert Schedule(0, 600, 3).num_steps == 0
