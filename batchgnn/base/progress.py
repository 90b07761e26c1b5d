"""Progress of long work: a bar on a terminal, a plain line every few seconds in a log file."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.progress

LINE_EVERY_S = 5.0


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


class BarProgress(Progress):
    """A bar of rich."""

    def __init__(self, bar: "rich.progress.Progress", task: "rich.progress.TaskID"):
        self.bar, self.task = bar, task

    def advance(self, amount: int = 1, note: str = "") -> None:
        """As `Progress.advance`."""
        self.bar.update(self.task, advance=amount, note=note)


@contextmanager
def progress(label: str, total: int, unit: str = "", *, show: bool = True) -> Iterator[Progress]:
    """Show how far some work of `total` units is; `show=False` (ranks but the first) is silent.

    total: 0 where it is not known
    """
    if not show:
        yield Progress()
    elif not sys.stderr.isatty():
        yield PlainProgress(label, total, unit)
    else:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
            yield BarProgress(bar, bar.add_task(label, total=total or None, note=""))
