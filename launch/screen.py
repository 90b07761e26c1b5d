"""What a launcher shows of its ranks: their lines and, below them, the bar of the first rank."""

import threading
from contextlib import ExitStack
from typing import Any, TextIO

from batchgnn.base.environment import word_of_progress
from batchgnn.base.parse import parse_json
from batchgnn.base.progress import BarProgress, Progress, progress


class Screen:
    """The terminal, or the files in its place; several threads may call it."""

    def __init__(self, launch: str):
        """launch: the name that the ranks were given."""
        self._word, self._lock = word_of_progress(launch), threading.Lock()
        self._open, self._bar = ExitStack(), Progress()
        self._label, self._done = "", 0

    def show(self, text: str, to: TextIO) -> None:
        """A line of a rank: passed on, above the bar if there is one, or what is told of it."""
        before, word, told = text.partition(self._word)
        values = _parsed(told) if word else None
        with self._lock:
            if values is not None:
                self._draw(values)
            shown = text if values is None else before
            if shown and isinstance(self._bar, BarProgress) and to.isatty():
                self._bar.write_above(shown)
            elif shown:
                to.write(shown)
                to.flush()

    def close(self) -> None:
        """No bar any more."""
        with self._lock:
            self._draw({})

    def _draw(self, values: dict[str, Any]) -> None:
        """What `progress.ToldProgress` told; nothing: no bar."""
        if values.get("label", "") != self._label:
            self._open.close()
            self._bar, self._label, self._done = Progress(), values.get("label", ""), 0
            if values:
                about = values["label"], values["total"], values["unit"]
                shown = progress(*about, with_time=values["with_time"])
                self._bar = self._open.enter_context(shown)
        if values:
            self._bar.advance(values["done"] - self._done, values["note"])
            self._done = values["done"]


def _parsed(told: str) -> dict[str, Any] | None:
    """None where the words of several ranks are mixed."""
    try:
        return parse_json(told)
    except ValueError:
        return None
