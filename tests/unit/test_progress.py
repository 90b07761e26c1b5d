"""Progress: a bar on a terminal, also on that of `batchgnn launch`; lines in a file."""

import io
import re
import sys

import pytest
from commands import Terminal

from batchgnn.base.environment import BAR_VARIABLE, LAUNCH_VARIABLE
from batchgnn.base.progress import BarProgress, progress
from batchgnn.launch.screen import Screen

ON_RANKS = """
import os, sys
from batchgnn.base.progress import progress
from batchgnn.launch.local import run
from batchgnn.launch.mpirun import Placement, find_mpirun

RANK = '''
import os
from batchgnn.base.progress import progress
first = os.environ["OMPI_COMM_WORLD_RANK"] == "0"
with progress("epoch 1/2", 8, "steps", show=first, with_time=False) as shown:
    shown.advance(3, "loss 0.5  7 seeds/s  about 3 min left")
    print("a line of a rank", flush=True)
    shown.advance(5, "not told: too soon")
print("epoch 1  loss 0.5", flush=True)
'''
placement = Placement(ranks=2, threads=1, bind=False)
sys.exit(run(find_mpirun(), placement, [sys.executable, "-c", RANK]).status)
"""
CODE = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


class TerminalFile(io.StringIO):
    """A file that says that it is a terminal."""

    def isatty(self):
        return True


def left_on_screen(written):
    """The lines that a terminal shows in the end of what was written on it."""
    lines, row, column = [""], 0, 0
    for number, code, back, down, text in CODE.findall(written):
        if code == "A":
            row -= int(number or 1)
        elif code == "K":
            lines[row] = ""
        elif back:
            column = 0
        elif down:
            row += 1
            lines += [""] * (row == len(lines))
        elif text:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
    return [line.rstrip() for line in lines if line.strip()]


@pytest.fixture
def told(monkeypatch, capsys):
    """The lines by which a first rank tells how far some work is."""
    monkeypatch.setenv(LAUNCH_VARIABLE, "job")
    monkeypatch.setenv(BAR_VARIABLE, "1")
    monkeypatch.setattr("batchgnn.base.progress.TOLD_EVERY_S", 0.0)
    with progress("epoch 1/2", 8, "steps", with_time=False) as shown:
        shown.advance(3, "about 3 min left")
        shown.advance(2, "about 2 min left")
    monkeypatch.delenv(BAR_VARIABLE)
    return capsys.readouterr().err.splitlines(keepends=True)


def test_what_the_first_rank_tells_is_a_bar_on_the_launchers_terminal(told, monkeypatch):
    monkeypatch.setattr(sys, "stderr", TerminalFile())
    monkeypatch.setenv("TERM", "xterm")
    screen, out, log = Screen("job"), TerminalFile(), io.StringIO()
    for line in told[:-1]:
        screen.show(line, out)
    screen.show("x" * 300 + "\n", out)
    screen.show("a line\n", log)
    assert log.getvalue() == "a line\n", "a file has its own"
    assert out.getvalue() == "", "it is above the bar"
    screen._bar.bar.refresh()
    shown = left_on_screen(sys.stderr.getvalue())
    assert shown[0] == "x" * 300
    assert re.fullmatch(r"epoch 1/2 .* 5/8 steps about 2 min left", shown[1])
    screen.show(f"half a line {told[-1]}", out)
    assert out.getvalue() == "half a line "
    assert left_on_screen(sys.stderr.getvalue()) == ["x" * 300]


def test_a_line_with_the_words_of_two_ranks_is_passed_on(told):
    screen, passed_on = Screen("job"), io.StringIO()
    mixed = told[0].replace("}", " another rank's }")
    screen.show(mixed, passed_on)
    assert passed_on.getvalue() == mixed


@pytest.mark.parametrize(("is_terminal", "term"), [(False, "xterm"), (True, "dumb")])
def test_there_is_no_bar_in_a_file_or_on_a_dumb_terminal(is_terminal, term, monkeypatch):
    monkeypatch.setattr(sys, "stderr", TerminalFile() if is_terminal else io.StringIO())
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("batchgnn.base.progress.LINE_EVERY_S", 0.0)
    with progress("epoch 1/2", 8, "steps") as shown:
        shown.advance(2, "loss 0.5")
    assert not isinstance(shown, BarProgress)
    assert sys.stderr.getvalue() == "epoch 1/2: 2 of 8 steps (25 %) loss 0.5\n"


def test_under_launch_the_terminal_has_the_bar_and_then_the_lines_of_all_ranks():
    with Terminal() as terminal:
        status, written = terminal.shows([sys.executable, "-c", ON_RANKS])
    assert status == 0, written
    assert re.search(r"epoch 1/2 .*3/8.* steps .*7 seeds/s  about 3 min left", written)
    left = left_on_screen(written)
    assert sorted(left) == ["a line of a rank"] * 2 + ["epoch 1  loss 0.5"] * 2
