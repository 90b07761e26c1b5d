"""`batchgnn train`: the loop over epochs, with evaluation, checkpoints and the run folder."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from cyclopts import App

from batchgnn.base.errors import BatchGNNError, ConfigError, Stopped
from batchgnn.base.progress import Progress, progress
from batchgnn.comm.exchange import allreduce_sum
from batchgnn.comm.failure import fail_together
from batchgnn.comm.recorder import Recorder
from batchgnn.comm.values import values_of_all
from batchgnn.modes.choice import ADVICE, make_mode, plan_memory
from batchgnn.modes.macrobatch.memory import allowed_bytes
from batchgnn.modes.mode import ExactInference, StepResult
from batchgnn.plan.beside import plan_entry, plan_of
from batchgnn.run.folder import RunFolder
from batchgnn.run.run_state import Pulse
from batchgnn.run.session import Session, open_session
from batchgnn.run.training_state import TrainingState
from batchgnn.settings.config import FREE, Settings, settings_files
from batchgnn.store.checkpoint import Checkpoint
from batchgnn.store.seeds import has_label
from batchgnn.tasks.scores import SPLITS, score
from batchgnn.watch import interrupt, trace
from batchgnn.watch.pace import Pace

app = App(name="train", help="Train a model on a shard store.", config=settings_files)


@app.default
def train(
    shards: Path,
    *,
    run: Path,
    resume: bool = False,
    config: Path | None = None,
    settings: Settings = Settings(),  # noqa: B008
) -> None:
    """Train a model on a shard store, on all ranks that were started.

    Parameters
    ----------
    shards
        shard store, made by `batchgnn partition`
    run
        folder to write: settings, metrics of every epoch, checkpoints, the best model, the result
    resume
        go on from the newest checkpoint of --run, on any number of ranks
    config
        TOML file with the same settings; the command line wins
    """
    if resume and settings.mode == "auto":  # it was chosen when the run began
        before = RunFolder(run).settings()
        settings = replace(settings, mode=before.mode, tensor_ways=before.tensor_ways)
    with interrupt.listening(), open_session(shards, settings) as session:
        folder = RunFolder(run)
        with fail_together(session.grid.world, f"opening {run}"):
            plan_memory(session).require(
                allowed_bytes(session.settings.memory, session.grid.node_size),
                ADVICE[session.settings.mode],
            )
            session.own.load_features()
            if session.is_first:
                folder.open(resume=resume)
            _check_resume(folder, shards, session, resume)
        Trainer(session, folder, shards).train(resume)


def _check_resume(folder: RunFolder, shards: Path, session: Session, resume: bool) -> None:
    """A resumed run must be the same problem: same shards, same numbers in every step."""
    if not resume:
        return
    manifest = session.manifest
    before = folder.settings().resolved(manifest.task, manifest.feature_name)
    changed = [
        name
        for name, value in vars(session.settings).items()
        if name not in FREE and value != getattr(before, name)
    ]
    if changed:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in changed)
        raise ConfigError(
            f"{folder.path} was trained with another {options}. Leave the option out to go on as "
            f"before, or start a new --run."
        )


class Trainer:
    """Epochs of a mode, with what happens between and after them; every method is collective."""

    def __init__(self, session: Session, folder: RunFolder, shards: Path):
        self.session, self.folder, self.shards = session, folder, shards
        self.settings, self.model = session.settings, session.model
        self.world = session.grid.world
        self.mode = make_mode(session)
        self.optimizer = self.mode.optimizer
        self.inference = self.mode.inference()
        self.last_checkpoint_s = time.monotonic()
        self.recorder = Recorder(session.grid)
        self.pace = Pace(session.grid.rank, session.grid.size, f"host {session.grid.host}")
        self.pulse = Pulse(folder.path, self.settings.epochs)
        self.state = TrainingState(best_parameters=self.model.parameters.buffer.copy())
        self.moved = (0, 0)
        self.planned = plan_of(session, shards) if session.is_first else None

    def train(self, resume: bool) -> None:
        """All epochs that are left; writes the run folder."""
        if resume and self._sum(self.session.is_first and self.folder.is_begun())[0]:
            self._restore()
        elif resume and self.session.is_first:
            print(f"batchgnn: {self.folder.path} has no checkpoint yet: it begins anew.")
            self.folder.cut_metrics(0)
        elif self.session.is_first:
            self.folder.write_settings(self.shards, self.settings)
        if self.session.is_first:
            self.folder.note_job(self.session.grid.size, self.session.grid.host)
        while not self._finished():
            loss, seconds = self._epoch()
            self._end_epoch(loss, seconds)
        held = self._held()
        if self.session.is_first:
            self.folder.write_result(self._result() | held | {"plan": self._plan()})
            print(self.folder.summary(), flush=True)

    def _finished(self) -> bool:
        state, settings = self.state, self.settings
        stale = settings.patience and state.stale_evaluations >= settings.patience
        return state.epoch >= settings.epochs or bool(stale)

    def _epoch(self) -> tuple[float, float]:
        """Train the steps left of the current epoch; mean loss over its seeds, seconds."""
        state, every = self.state, self.settings.checkpoint_every
        if self._keeps_timeline():
            self.recorder.begin(state.epoch + 1, state.step)
        begin = time.perf_counter() - state.seconds
        trace.reset()
        trace.computed_s()  # what was evaluated and saved since the last step is not training
        label = f"epoch {state.epoch + 1}/{self.settings.epochs}"
        with progress(label, self.mode.num_steps, "steps", show=self.session.is_first) as shown:
            shown.advance(state.step)
            steps = self.mode.epoch(state.epoch, state.step)
            try:
                for result in steps:
                    self._note(result, shown)
                    state.seconds = time.perf_counter() - begin
                    if stop := self._stopped(result.words.requeue, result.words.end):
                        self._checkpoint(stop)
                        raise stop
                    if every and state.step % every == 0 and state.step < self.mode.num_steps:
                        self._checkpoint()
                        trace.computed_s()
            except BatchGNNError as error:
                steps.throw(error)  # what is prepared ahead calls MPI: let it end first
        loss_sum, num_seeds, *moved = self._sum(state.loss_sum, state.num_seeds, *trace.sent())
        self.moved = int(moved[0]), int(moved[1]) // self.session.grid.size
        return loss_sum / max(num_seeds, 1), time.perf_counter() - begin

    def _note(self, result: StepResult, shown: Progress) -> None:
        """A step is done."""
        state = self.state
        state.step = result.step + 1
        trace.mark(f"after epoch {state.epoch + 1} step {state.step}")
        state.loss_sum += result.loss_sum
        state.num_seeds += result.num_seeds
        shown.advance(1, f"loss {state.loss_sum / max(state.num_seeds, 1):.4f}")
        if self.session.is_first:
            self.pulse.beat(state.epoch + 1, state.step, self.mode.num_steps)
        if note := self.pace.step(result.words.own_s, result.words.all_s):
            print(note, file=sys.stderr, flush=True)

    def _end_epoch(self, loss: float, seconds: float) -> None:
        """Evaluate, keep the best model, write the epoch's line and a checkpoint."""
        state = self.state
        line = {"epoch": state.epoch + 1, "loss": loss, "seconds": seconds}
        line |= dict(zip(("training_bytes", "training_calls"), self.moved, strict=True))
        last = state.epoch + 1 == self.settings.epochs
        if last or (state.epoch + 1) % self.settings.eval_every == 0:
            line |= self._evaluate()
        line |= self.mode.counts() | trace.merge(values_of_all(self.world, trace.counts()))
        if self._keeps_timeline():
            timeline = self.recorder.end()
            if timeline is not None:
                self.folder.write_timeline(timeline)
        state.end_epoch(seconds)
        if self.session.is_first:
            self.folder.append_metrics(line)  # first: a resume cuts lines, it cannot add them
        is_due, stop = self._checkpoint_is_due()
        if is_due:
            self._checkpoint(stop)
        if self.session.is_first:
            print(describe(line), flush=True)
        if stop:
            raise stop

    def _keeps_timeline(self) -> bool:
        """Whether the epoch under way is the one whose spans are kept."""
        return self.state.epoch + 1 == min(self.settings.timeline_epoch, self.settings.epochs)

    def _evaluate(self) -> dict[str, float]:
        """Exact validation and test scores; remembers the best parameters by validation."""
        begin = time.perf_counter()
        with trace.phase("evaluate"):
            scores = evaluate_scores(self.session, self.inference)
        name = self.settings.score_name
        self.state.offer(
            scores[f"val_{name}"], scores[f"test_{name}"], self.model.parameters.buffer
        )
        return {**scores, "evaluate_seconds": time.perf_counter() - begin}

    def _sum(self, *values: float) -> np.ndarray:
        total = np.array(values, np.float64)
        allreduce_sum(self.world, total, "epoch sums")
        return total

    def _checkpoint_is_due(self) -> tuple[bool, Stopped | None]:
        """Whether the first rank's clock, the end of training or a signal asks for a checkpoint."""
        waited = time.monotonic() - self.last_checkpoint_s >= self.settings.checkpoint_seconds
        is_late, *asked = self._sum(self.session.is_first and waited, *interrupt.asked())
        stop = None if self._finished() else self._stopped(*asked)
        return bool(is_late) or self._finished() or stop is not None, stop

    def _stopped(self, requeue: float, end: float) -> Stopped | None:
        """What to raise when a rank was asked to stop; `interrupt.asked()`, summed."""
        where = f"at epoch {self.state.epoch + 1} step {self.state.step}"
        return interrupt.stopped(requeue, end, where)

    def _checkpoint(self, stop: Stopped | None = None) -> None:
        """Write a checkpoint and the best model on the first rank; a failure is raised on all.

        stop: why training ends here, to be noted in the run folder
        """
        self.last_checkpoint_s = time.monotonic()
        loss_sum, num_seeds = self._sum(self.state.loss_sum, self.state.num_seeds)
        with fail_together(self.world, "writing a checkpoint"):
            if self.session.is_first:
                arrays = {"parameters": self.model.parameters.buffer, **self.optimizer.arrays}
                arrays["best_parameters"] = self.state.best_parameters
                progress = self.state.to_dict(loss_sum=loss_sum, num_seeds=int(num_seeds))
                checkpoint = replace(
                    self._checkpoint_of(arrays),
                    progress={**progress, "optimizer_steps": self.optimizer.steps},
                )
                self.folder.write_checkpoint(checkpoint, self.settings.checkpoint_keep)
                if self.state.best_epoch:
                    best = {"parameters": self.state.best_parameters}
                    self.folder.write_model(self._checkpoint_of(best))
                if stop is not None:
                    self.folder.note_stop(stop.requeue, self.state.epoch, self.state.step)

    def _checkpoint_of(self, arrays: dict[str, np.ndarray]) -> Checkpoint:
        return Checkpoint(arrays, {"epoch": self.state.epoch}, self.session.manifest.fingerprint)

    def _restore(self) -> None:
        """Continue as the newest checkpoint says; partial sums live on the first rank."""
        with fail_together(self.world, f"resuming {self.folder.path}"):
            checkpoint = self.folder.read_checkpoint(self.session.manifest.fingerprint)
            self.model.parameters.buffer[:] = checkpoint.arrays["parameters"]
            for name, array in self.optimizer.arrays.items():
                array[:] = checkpoint.arrays[name]
            self.optimizer.steps = checkpoint.progress["optimizer_steps"]
            self.state = TrainingState.from_checkpoint(checkpoint, keep_sums=self.session.is_first)
            if self.session.is_first:
                self.folder.cut_metrics(self.state.epoch)

    def _result(self) -> dict:
        """What result.json holds besides the versions."""
        state, name = self.state, self.settings.score_name
        return {
            "metric": name,
            f"test_{name}": state.best_test,
            f"val_{name}": state.best_val,
            "best_epoch": state.best_epoch,
            "epochs": state.epoch,
            "epoch_seconds": state.epoch_seconds,
            "ranks": self.session.grid.size,
            "threads": self.session.threads,
            "mode": self.settings.mode,
            "exactness": self.mode.exactness,
            **self.mode.totals(),
            "num_parameters": int(self.model.parameters.size),
        }

    def _plan(self) -> dict:
        """What was predicted of the epochs beside what they took."""
        assert self.planned is not None
        prediction, rates = self.planned
        why = self.session.why_mode or f"--mode {self.settings.mode}. Rates {rates.where}."
        return plan_entry(prediction, why, self.folder.read_metrics())

    def _held(self) -> dict[str, list]:
        """What every rank had to work on, for result.json; lists over ranks."""
        own, is_train = self.session.own, self.session.split() == SPLITS["train"]
        is_train &= has_label(own.label)
        mine = (own.num_own, int(own.degree_in.sum()), int(is_train.sum()))
        said = values_of_all(self.world, [self.session.grid.host, *mine])
        hosts, *counts = zip(*said, strict=True)
        names = ("rank_vertices", "rank_edges", "rank_seeds")
        return {"hosts": list(hosts)} | {
            name: list(each) for name, each in zip(names, counts, strict=True)
        }


def evaluate_scores(session: Session, inference: ExactInference) -> dict[str, float]:
    """Validation and test scores of the model's exact predictions; collective."""
    logits, split, metric = inference.logits(), session.split(), session.settings.score_name
    rows = {name: split == SPLITS[name] for name in ("val", "test")}
    return {
        f"{name}_{metric}": score(session.grid.world, logits[keep], session.own.label[keep], metric)
        for name, keep in rows.items()
    }


def describe(line: dict) -> str:
    """One readable line of an epoch's metrics."""
    words = [f"epoch {line['epoch']}", f"loss {line['loss']:.4f}", f"{line['seconds']:.2f} s"]
    words += [f"{k} {v:.4f}" for k, v in line.items() if k.startswith(("val_", "test_"))]
    return "  ".join(words)
