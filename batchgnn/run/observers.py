"""What watches a run while it trains: the timeline of an epoch, the pace of ranks, the pulse."""

import sys

from batchgnn.comm.recorder import Recorder
from batchgnn.modes.mode import StepResult
from batchgnn.modes.share import Share
from batchgnn.run.folder import RunFolder
from batchgnn.run.run_state import Pulse
from batchgnn.run.training_state import TrainingState
from batchgnn.settings.general import Run, Training
from batchgnn.watch import trace
from batchgnn.watch.pace import Pace


class Observers:
    """Told of epochs and steps; `begin_epoch` and `end_epoch` are collective."""

    def __init__(self, share: Share, folder: RunFolder):
        self.share, self.folder = share, folder
        self.epochs = share.settings[Training].epochs
        grid = share.grid
        self.recorder = Recorder(grid)
        self.pace = Pace(grid.rank, grid.size, f"host {grid.host}")
        self.pulse = Pulse(folder.path, self.epochs)

    def begin_epoch(self, state: TrainingState) -> None:
        """The steps that are left of an epoch begin."""
        if self._keeps_timeline(state):
            self.recorder.begin(state.epoch + 1, state.step)
        trace.reset()
        trace.computed_s()  # what was evaluated and saved since the last step is not training

    def note(self, state: TrainingState, result: StepResult, num_steps: int) -> None:
        """A step is done."""
        trace.mark(f"after epoch {state.epoch + 1} step {state.step}")
        if self.share.is_first:
            self.pulse.beat(state.epoch + 1, state.step, num_steps)
        if note := self.pace.step(result.words.own_s, result.words.all_s):
            print(note, file=sys.stderr, flush=True)

    def end_epoch(self, state: TrainingState) -> None:
        """An epoch was trained and evaluated."""
        if self._keeps_timeline(state):
            timeline = self.recorder.end()
            if timeline is not None:
                self.folder.write_timeline(timeline)

    def _keeps_timeline(self, state: TrainingState) -> bool:
        """Whether the epoch under way is the one whose spans are kept."""
        return state.epoch + 1 == min(self.share.settings[Run].timeline_epoch, self.epochs)
