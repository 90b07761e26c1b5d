"""What a tool's log has to do."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol


class Log(Protocol):
    """Where the numbers of epochs go."""

    def __init__(self, folder: Path, name: str, settings: Mapping[str, Any]):
        """A log of the run `name` in `folder`, in place of what was there."""

    def write(self, epoch: int, values: Mapping[str, float], time_s: float) -> None:
        """The numbers of one epoch, counted from 1, and when it ended, in seconds since 1970."""

    def close(self, *, finished: bool) -> None:
        """No more epochs come from this job; `finished`: nor from another."""


def said(error: Exception) -> str:
    """What other people's code complains of, in a line."""
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def emptied(folder: Path) -> Path:
    """The folder of a log, with nothing of an earlier one in it."""
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
    return folder
