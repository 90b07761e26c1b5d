"""Progress of long work: a bar on a terminal, a plain line every few seconds in a log file.

Ranks of `batchgnn launch` are on no terminal: where the launcher is on one, the first rank tells it
how far it is, and the launcher draws the bar (`launch/screen.py`).
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from batchgnn.base.environment import BAR_VARIABLE, LAUNCH_VARIABLE, word_of_progress

if TYPE_CHECKING:
    import rich.progress

LINE_EVERY_S = 5.0
TOLD_EVERY_S = 0.1
WIDEST_BAR, BESIDE_BAR = 40, 72
"Columns of a terminal: of the bar, and what is written beside it in training."


class Progress:
    """What the caller advances; made by `progress`."""

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Count `amount` more units as done; `note` is shown beside them."""


class PlainProgress(Progress):
    """One line every few seconds."""

    def __init__(self, label: str, total: int, unit: str):
        self.label, self.total, self.unit = label, total, unit
        self.done, self.next_line = 0, time.monotonic() + LINE_EVERY_S

    def advance(self, amount: int = 1, note: str = "") -> None:
        """As `Progress.advance`."""
        self.done += amount
        if time.monotonic() >= self.next_line:
            self.next_line = time.monotonic() + LINE_EVERY_S
            print(f"{self.label}: {self._how_far()} {note}".rstrip(), file=sys.stderr, flush=True)

    def _how_far(self) -> str:
        if not self.total:
            return f"{self.done:,} {self.unit}"
        share = 100 * self.done / self.total
        return f"{self.done:,} of {self.total:,} {self.unit} ({share:.0f} %)"


class ToldProgress(Progress):
    """Told to `batchgnn launch` at once, and then some times a second."""

    def __init__(self, launch: str, label: str, total: int, unit: str, *, with_time: bool):
        self.launch, self.done, self.next_s = launch, 0, 0.0
        self.about = {"label": label, "total": total, "unit": unit, "with_time": with_time}

    def advance(self, amount: int = 1, note: str = "") -> None:
        """As `Progress.advance`."""
        self.done += amount
        if time.monotonic() >= self.next_s:
            self.next_s = time.monotonic() + TOLD_EVERY_S
            self._tell(json.dumps(self.about | {"done": self.done, "note": note}))

    def end(self) -> None:
        """No bar any more."""
        self._tell("{}")

    def _tell(self, values: str) -> None:
        sys.stderr.write(f"{word_of_progress(self.launch)}{values}\n")
        sys.stderr.flush()


class BarProgress(Progress):
    """A bar of rich."""

    def __init__(self, bar: "rich.progress.Progress", task: "rich.progress.TaskID"):
        self.bar, self.task = bar, task

    def advance(self, amount: int = 1, note: str = "") -> None:
        """As `Progress.advance`."""
        self.bar.update(self.task, advance=amount, note=note)

    def write_above(self, text: str) -> None:
        """Write whole lines, as they are, on the bar's terminal."""
        self.bar.console.out(text, end="", highlight=False)


def on_terminal() -> bool:
    """Whether standard error is a terminal that a bar can be drawn on."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def progress(
    label: str, total: int, unit: str = "", *, show: bool = True, with_time: bool = True
) -> Iterator[Progress]:
    """Show how far some work of `total` units is.

    total: 0 where it is not known
    show: False (ranks but the first): silent
    with_time: beside a bar, how long this work will still take; else the notes say it
    """
    launch = os.environ.get(LAUNCH_VARIABLE, "")
    if not show:
        yield Progress()
    elif launch and os.environ.get(BAR_VARIABLE):
        told = ToldProgress(launch, label, total, unit, with_time=with_time)
        try:
            yield told
        finally:
            told.end()
    elif on_terminal():
        with _bar(unit, with_time) as bar:
            yield BarProgress(bar, bar.add_task(label, total=total or None, note=""))
    else:
        yield PlainProgress(label, total, unit)


def _bar(unit: str, with_time: bool) -> "rich.progress.Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    width = min(WIDEST_BAR, max(5, console.width - BESIDE_BAR))
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(width),
        MofNCompleteColumn(),
        TextColumn(unit),
        *([TimeRemainingColumn()] if with_time else []),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    )
