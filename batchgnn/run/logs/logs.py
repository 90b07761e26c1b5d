"""The logs of a run, made of the lines of `metrics.jsonl`, which stays what counts.

A log is begun anew, from all lines, whenever a job begins: a resumed run has no epoch twice, and a
log that is asked for late has the epochs before it. Nothing leaves the machine.
"""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from batchgnn.run.folder import RunFolder
from batchgnn.run.lock import RunLock
from batchgnn.run.logs.log import Log, said
from batchgnn.run.logs.tools import log_of
from batchgnn.run.run_state import RESULT
from batchgnn.settings.settings import Settings
from batchgnn.store.format import writing

NO_CURVES = ("epoch", "time")


class Logs:
    """The logs of a run that trains, on its first rank; one that fails is left out, and said."""

    def __init__(self, folder: RunFolder, tools: Sequence[str], settings: Settings):
        """settings: resolved, for tools that show them"""
        self.folder, self.tools, self.settings = folder, tools, settings
        self.logs: dict[str, Log] = {}

    def open(self) -> None:
        """Begin them, with the epochs that there are."""
        for tool in dict.fromkeys(self.tools):
            with self._or_without(tool):
                self.logs[tool] = begun(self.folder, tool, self.settings)

    def write(self, line: Mapping[str, Any]) -> None:
        """A line of metrics.jsonl."""
        for tool, log in list(self.logs.items()):
            with self._or_without(tool):
                write_line(log, line)

    def close(self, *, finished: bool) -> None:
        """As `Log.close`."""
        for tool, log in list(self.logs.items()):
            with self._or_without(tool):
                log.close(finished=finished)

    @contextmanager
    def _or_without(self, tool: str) -> Iterator[None]:
        """Training does not end for a log: one that is begun later has all epochs."""
        try:
            yield
        except Exception as error:  # of other people's code, of any kind
            self.logs.pop(tool, None)
            print(
                f"batchgnn: --log {tool} failed and is left out from here on ({said(error)}). "
                f"metrics.jsonl has every epoch: write it again at the end, in Python: "
                f"batchgnn.Run({str(self.folder.path)!r}).log({tool!r})",
                file=sys.stderr,
                flush=True,
            )


def write_logs(folder: RunFolder, tools: Sequence[str]) -> None:
    """Logs of all epochs so far of a run that no job trains; raises ConfigError and StoreError."""
    for tool in tools:
        log_of(tool)
    settings, finished = folder.settings(), (folder.path / RESULT).exists()
    with writing(folder.path), RunLock(folder.path) as lock:
        lock.take()
        for tool in tools:
            begun(folder, tool, settings).close(finished=finished)


def begun(folder: RunFolder, tool: str, settings: Settings) -> Log:
    """A tool's log with the epochs so far, in place of one that was there."""
    log = log_of(tool)(folder.path / tool, folder.path.resolve().name, settings.options())
    for line in folder.read_metrics():
        write_line(log, line)
    return log


def write_line(log: Log, line: Mapping[str, Any]) -> None:
    """The finite numbers of a line of metrics.jsonl, lists and tables left out."""
    values = {
        name: float(value)
        for name, value in line.items()
        if name not in NO_CURVES and isinstance(value, int | float) and math.isfinite(value)
    }
    log.write(line["epoch"], values, line.get("time", 0.0))
