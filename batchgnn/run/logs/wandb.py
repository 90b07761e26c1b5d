"""Weights & Biases: `wandb sync RUN/wandb/offline-run-*` sends what was written here."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # it sends faults, offline too

from wandb import Settings, init

from batchgnn.run.logs.log import emptied


class ToolLog:
    """An offline run in `RUN/wandb`."""

    def __init__(self, folder: Path, name: str, settings: Mapping[str, Any]):
        before = [path.name.split("-", 3)[3] for path in folder.glob("offline-run-*")]
        emptied(folder)
        self.run = init(
            project="batchgnn",
            name=name,
            id=before[0] if before else None,  # its server then puts this run in place of it
            dir=folder.parent,  # it makes `wandb` in there
            mode="offline",
            reinit="create_new",  # a program that logs a run after the fact may have one of its own
            config=dict(settings),
            settings=Settings(silent=True, console="off", x_disable_stats=True),
        )

    def write(self, epoch: int, values: Mapping[str, float], time_s: float) -> None:
        """As `Log.write`."""
        self.run.log({**values, "_timestamp": time_s}, step=epoch)

    def close(self, *, finished: bool) -> None:
        """As `Log.close`."""
        self.run.finish(exit_code=0 if finished else 1)
