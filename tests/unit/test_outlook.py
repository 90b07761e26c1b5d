"""How fast a run trains and how long it will: one rule for bar, lines and `status`."""

import numpy as np
import pytest

from batchgnn.run.outlook import Outlook, say_left, seconds_left
from batchgnn.run.record import describe
from batchgnn.run.training_state import TrainingState

LINES = [{"epoch": n, "seconds": s, "evaluate_seconds": 1.0} for n, s in enumerate((99, 3, 5), 1)]


@pytest.mark.parametrize(
    ("lines", "done", "left"),
    [
        ([], 0, None),
        (LINES[:1], 1, None),
        ([{"epoch": 1, "seconds": 400.0}], 1, 3600.0),
        (LINES, 3, 35.0),
        (LINES, 3.5, 32.5),
        (LINES, 10, 0.0),
    ],
    ids=[
        "none yet",
        "it compiled",
        "the first alone",
        "without the first",
        "within an epoch",
        "none left",
    ],
)
def test_the_epochs_left_are_as_long_as_the_last_ones(lines, done, left):
    assert seconds_left(lines, 10, done) == left


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        *((None, ""), (0.0, ""), (0.2, "about 1 s left"), (89.4, "about 89 s left")),
        *((180.0, "about 3 min left"), (9000.0, "about 2.5 h left")),
    ],
)
def test_the_time_left_is_said_in_round_numbers(seconds, said):
    assert say_left(seconds) == said


def test_an_epochs_line_ends_with_throughput_and_the_time_left():
    outlook = Outlook(10, "edge")
    line = LINES[1] | {"loss": 0.5, "val_mrr": 0.25} | outlook.rate(6000, 3.0)
    said = "epoch 2  loss 0.5000  3.00 s  val_mrr 0.2500  2,000 edges/s"
    assert describe(line) == said
    outlook.add(line)
    assert describe(line, outlook.after(2)) == f"{said}  about 32 s left"
    assert describe(line, outlook.after(10)) == said


def test_a_bars_note_is_of_the_epoch_under_way():
    outlook = Outlook(epochs=10, unit="seed")
    state = TrainingState(np.zeros(1), step=3, loss_sum=5.0, num_seeds=10, seconds=300.0)
    assert outlook.within(state, 6) == "loss 0.5000  about 1.6 h left"
    assert outlook.within(TrainingState(np.zeros(1)), 6) == "", "nothing is known yet"
    outlook.add(LINES[2] | outlook.rate(600, 4.0))
    after = TrainingState(np.zeros(1), epoch=3)
    assert outlook.within(after, 6) == "150 seeds/s  about 42 s left", "as the last epoch"
    by_the_clock = TrainingState(np.zeros(1), epoch=3, step=70, loss_sum=5.0, num_seeds=10)
    assert outlook.within(by_the_clock, 0) == "loss 0.5000  150 seeds/s  about 42 s left"
