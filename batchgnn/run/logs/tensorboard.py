"""TensorBoard: `tensorboard --logdir RUN`.

The writer is that of the package `tensorboard`, which whoever looks at the curves has anyway and
which is kept in step with the reader. tensorboardX writes the same files by code of its own, and
torch.utils.tensorboard needs both PyTorch and this package.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.summary import Writer

from batchgnn.run.logs.log import emptied


class ToolLog:
    """An event file in `RUN/tensorboard`; TensorBoard has no place for settings as plain text."""

    def __init__(self, folder: Path, name: str, settings: Mapping[str, Any]):
        self.writer = Writer(str(emptied(folder)))

    def write(self, epoch: int, values: Mapping[str, float], time_s: float) -> None:
        """As `Log.write`; the file is whole after each epoch."""
        for each, value in values.items():
            self.writer.add_scalar(each, value, epoch, wall_time=time_s)
        self.writer.flush()

    def close(self, *, finished: bool) -> None:
        """As `Log.close`."""
        self.writer.close()
