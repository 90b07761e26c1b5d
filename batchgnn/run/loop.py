"""The loop over epochs: training, evaluation, checkpoints, and the end by patience or a signal."""

import contextlib
import dataclasses
import time

import numpy as np

from batchgnn.base.errors import BatchGNNError, NotFiniteError, Stopped
from batchgnn.base.progress import Progress, progress
from batchgnn.comm.exchange import allreduce_sum
from batchgnn.comm.failure import fail_together
from batchgnn.comm.values import values_of_all
from batchgnn.modes.mode import Earlier, Mode, StepResult
from batchgnn.modes.options import Steps
from batchgnn.modes.share import Share
from batchgnn.run.checkpoints import Checkpoints
from batchgnn.run.finite import require_finite_state, require_finite_step
from batchgnn.run.folder import RunFolder
from batchgnn.run.kept import Kept
from batchgnn.run.observers import Observers
from batchgnn.run.outlook import Outlook
from batchgnn.run.record import Record, describe
from batchgnn.run.run_scores import SCORED
from batchgnn.run.training_state import TrainingState, by_key, require_progress
from batchgnn.settings.general import Run, Training
from batchgnn.store.mode_state import ModeState, require_like
from batchgnn.store.model_file import SavedModel
from batchgnn.watch import interrupt, trace


class TrainingLoop:
    """Epochs of a mode, with what happens between and after them; every method is collective."""

    def __init__(self, share: Share, mode: Mode, folder: RunFolder, record: Record):
        self.share, self.mode, self.folder, self.record = share, mode, folder, record
        settings = share.settings
        self.training, self.run = settings[Training], settings[Run]
        steps = settings.get(Steps)
        self.checkpoint_every = 0 if steps is None else steps.checkpoint_every
        self.world, self.parameters = share.grid.world, share.model.parameters
        keep = self.run.checkpoint_keep
        self.checkpoints = Checkpoints(share.grid, folder.checkpoints, keep)
        self.observers = Observers(share, folder)
        self.outlook = Outlook(self.training.epochs, share.task.unit)
        self.state = TrainingState(best_parameters=self.parameters.buffer.copy())
        self.last_checkpoint_s = time.monotonic()
        self.moved = (0, 0)
        self.is_trained = False
        self.before_end: TrainingState | None = None

    def train(self) -> None:
        """All epochs that are left."""
        if self.share.is_first:
            self.outlook.lines = [*self.folder.read_metrics()]
        try:
            if self.is_trained:
                self._end_epoch(self._trained())
            while not self.finished():
                self._epoch()
                self._end_epoch(self._trained())
        except NotFiniteError as error:
            self._note_end(str(error))
            raise
        finally:
            self.observers.pulse.settle()

    def _note_end(self, why: str) -> None:
        """Tell readers of the folder why a resume is of no use."""
        if self.share.is_first:
            with contextlib.suppress(OSError, BatchGNNError):  # `why` is what is to be said
                self.folder.note_stop(False, self.state.epoch, self.state.step, why)

    def finished(self) -> bool:
        """Whether no epoch is left, or patience is at its end."""
        patience = self.training.patience
        is_stale = patience and self.state.stale_evaluations >= patience
        return self.state.epoch >= self.training.epochs or bool(is_stale)

    def _epoch(self) -> None:
        """Train the steps left of the current epoch."""
        state = self.state
        self.observers.begin_epoch(state)
        begin = time.perf_counter() - state.seconds
        label = f"epoch {state.epoch + 1}/{self.training.epochs}"
        num_steps, is_first = self.mode.num_steps, self.share.is_first
        with progress(label, num_steps, "steps", show=is_first, with_time=False) as shown:
            shown.advance(state.step, self.outlook.within(state, num_steps))
            steps = self.mode.epoch(state.epoch, state.step)
            try:
                for result in steps:
                    require_finite_step(self.share, result.words, self._at(result.step + 1))
                    state.seconds = time.perf_counter() - begin
                    self._note(result, shown)
                    self._save_inside_epoch(result)
            except BatchGNNError as error:
                steps.throw(error)  # what is prepared ahead calls MPI: let it end first
        state.seconds = time.perf_counter() - begin

    def _trained(self) -> dict[str, float]:
        """Of the epoch that was trained: mean loss over its seeds, seconds, rate."""
        state = self.state
        self.is_trained, self.before_end = False, state.copy()
        loss_sum, num_seeds, *moved = self._sum(state.loss_sum, state.num_seeds, *trace.sent())
        self.moved = int(moved[0]), int(moved[1]) // self.share.grid.size
        seconds = state.seconds
        trained = {"loss": loss_sum / max(num_seeds, 1), "seconds": seconds}
        return trained | self.outlook.rate(num_seeds, seconds)

    def _note(self, result: StepResult, shown: Progress) -> None:
        """A step is done."""
        state = self.state
        state.step = result.step + 1
        state.loss_sum += result.loss_sum
        state.num_seeds += result.num_seeds
        shown.advance(1, self.outlook.within(state, self.mode.num_steps))
        self.observers.note(state, result, self.mode.num_steps)

    def _save_inside_epoch(self, result: StepResult) -> None:
        """A checkpoint where it is due; raises Stopped where a rank was asked to stop."""
        every, step = self.checkpoint_every, self.state.step
        if stop := self._stopped(result.words.requeue, result.words.end):
            self.save(stop)
            raise stop
        if every and step % every == 0 and step < self.mode.num_steps:
            self.save()
            trace.computed_s()

    def _end_epoch(self, trained: dict[str, float]) -> None:
        """Evaluate, keep the best model, write the epoch's line and a checkpoint."""
        state, is_last = self.state, self.state.epoch + 1 == self.training.epochs
        require_finite_state(self.share, self._weights(), self._at(state.step))
        line = {"epoch": state.epoch + 1, **trained}
        line |= dict(zip(("training_bytes", "training_calls"), self.moved, strict=True))
        if is_last or (state.epoch + 1) % self.training.eval_every == 0:
            line |= self._evaluate()
        line |= self.mode.counts() | trace.merge(values_of_all(self.world, trace.counts()))
        self.observers.end_epoch(state)
        state.end_epoch(trained["seconds"])
        self.record.end_epoch(line)  # first: a resume cuts lines, it cannot add them
        is_due, stop = self._checkpoint_is_due()
        if is_due:
            self.save(stop)
        if self.share.is_first:
            self.outlook.add(line)
            left = "" if self.finished() else self.outlook.after(state.epoch)
            print(describe(line, left), flush=True)
        if stop:
            raise stop

    def _evaluate(self) -> dict[str, float]:
        """Exact validation and test scores; remembers the best parameters by validation."""
        begin = time.perf_counter()
        with trace.phase("evaluate"):
            found = self.mode.evaluate()
        now = self.state.epoch + 1
        if not isinstance(found, list):
            found = [Earlier(now, found, self.parameters.buffer)]
        line: dict[str, float] = {}
        for each in found:
            is_best = self.state.offer(each.scores, each.parameters, each.epoch)
            if is_best and self.share.table is not None:
                self.share.table.keep_best()
            line = by_key(each.scores) | ({} if each.epoch == now else {SCORED: each.epoch})
        return {**line, "evaluate_seconds": time.perf_counter() - begin}

    def _sum(self, *values: float) -> np.ndarray:
        total = np.array(values, np.float64)
        allreduce_sum(self.world, total, "epoch sums")
        return total

    def _checkpoint_is_due(self) -> tuple[bool, Stopped | None]:
        """Whether the first rank's clock, the end of training or a signal asks for a checkpoint."""
        waited = time.monotonic() - self.last_checkpoint_s >= self.run.checkpoint_seconds
        is_late, *asked = self._sum(self.share.is_first and waited, *interrupt.asked())
        stop = None if self.finished() else self._stopped(*asked)
        return bool(is_late) or self.finished() or stop is not None, stop

    def _stopped(self, requeue: float, end: float) -> Stopped | None:
        """What to raise when a rank was asked to stop, of sums over the ranks."""
        return interrupt.stopped(requeue, end, f"at {self._at(self.state.step)}")

    def _at(self, step: int) -> str:
        """Where training is, for messages."""
        return f"epoch {self.state.epoch + 1} step {step}"

    def save(self, stop: Stopped | None = None) -> None:
        """Write a checkpoint and the best model; a failure is raised on all ranks.

        stop: why training ends here, to be noted in the run folder
        """
        self.folder.lock.require()
        mine = self._mode_state()
        require_finite_state(self.share, mine.replicated, self._at(self.state.step))
        self.last_checkpoint_s = time.monotonic()
        loss_sum, num_seeds = self._sum(self.state.loss_sum, self.state.num_seeds)
        now = self.state.progress(loss_sum=loss_sum, num_seeds=int(num_seeds))
        self.checkpoints.write(self._fingerprint, now, mine, self.share.own.ids)
        with fail_together(self.world, "writing a checkpoint"):
            if self.share.is_first and self.state.best_epoch:
                best = self.state.best_parameters
                self.folder.write_model(SavedModel(best, self.state.epoch, self._fingerprint))
            if self.share.is_first and stop is not None:
                self.folder.note_stop(stop.requeue, self.state.epoch, self.state.step)

    def _mode_state(self) -> ModeState:
        """What the mode remembers, the parameters and trained rows, and the best of them."""
        state = self.mode.state()
        best = {"best_parameters": self.state.best_parameters}
        rows = {} if self.share.table is None else self.share.table.arrays()
        replicated, by_vertex = state.replicated | self._weights() | best, state.by_vertex | rows
        return dataclasses.replace(state, replicated=replicated, by_vertex=by_vertex)

    def _weights(self) -> dict[str, np.ndarray]:
        return {"parameters": self.parameters.buffer}

    def restore(self) -> None:
        """Continue as the newest checkpoint says; partial sums live on the first rank."""
        mine, where = self._mode_state(), f"{self.checkpoints.path}, newest"
        now, state = self.checkpoints.read(self._fingerprint, self.share.own.ids, mine.trainer)
        with fail_together(self.world, f"resuming {self.folder.path}"):
            require_like(state, mine, where)
            require_progress(now, where)
        require_finite_state(self.share, state.replicated, where)
        self.parameters.buffer[:] = state.replicated["parameters"]
        self.mode.load(state)
        if self.share.table is not None:
            self.share.table.load(state.by_vertex)
        best = state.replicated["best_parameters"]
        self.state = TrainingState.resumed(now, best, keep_sums=self.share.is_first)
        with fail_together(self.world, f"resuming {self.folder.path}"):
            if self.share.is_first:
                self.folder.cut_metrics(self.state.epoch)

    def take_up(self, kept: Kept, *, is_over: bool) -> None:
        """Go on where an epoch was trained, and not ended, by ranks of which some are gone now.

        is_over: all epochs were ended
        """
        self.state, self.is_trained = kept.state, not is_over
        self.parameters.buffer[:] = kept.parameters
        self.mode.load(kept.of_mode)
        with fail_together(self.world, f"going on with {self.folder.path}"):
            if self.share.is_first:
                self.folder.cut_metrics(kept.state.epoch)

    @property
    def _fingerprint(self) -> str:
        return self.share.manifest.fingerprint
