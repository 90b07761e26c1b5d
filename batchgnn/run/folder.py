"""The run folder: settings, a line of metrics an epoch, checkpoints, the best model, the result."""

import json
import math
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from batchgnn import __version__
from batchgnn.base.errors import ConfigError, StoreError
from batchgnn.base.parse import parse_json
from batchgnn.modes.assembly import every_subject, settings_of
from batchgnn.run.finite import require_finite_weights
from batchgnn.run.lock import RunLock
from batchgnn.run.run_files import damaged, read_lines, read_result, read_text
from batchgnn.run.run_scores import SPLITS
from batchgnn.run.run_state import JOB, LOCK, RESULT, STOPPED, note_job
from batchgnn.settings.files import read_options, write_settings
from batchgnn.settings.fitting import misfits
from batchgnn.settings.settings import Settings
from batchgnn.store.checkpoint import has_checkpoint, refuse_other_shards
from batchgnn.store.format import atomic_file, writing
from batchgnn.store.model_file import SavedModel, read_model, write_model
from batchgnn.watch.timeline import Timeline, chrome_trace

LIBRARIES = ("numpy", "numba", "scipy", "h5py", "mpi4py", "pymetis")


class RunFolder:
    """Files of one run; written by the first rank only, each written beside and renamed."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoint"
        self.lock, self.model = RunLock(self.path), self.path / "model.h5"

    def begin(self, *, resume: bool) -> None:
        """`open`, as the only job; raises StoreError."""
        with writing(self.path):
            is_new = not self.path.exists()
            self.open(resume=resume)
            try:
                self.lock.take(made_folder=is_new)
            except OSError:
                if is_new:
                    self.path.rmdir()
                raise
            self.open(resume=resume)  # another job may have trained between the two

    def open(self, *, resume: bool) -> None:
        """Create the folder, or find the run to go on with; raises StoreError."""
        if resume:
            if not (self.path / "config.toml").is_file():
                raise StoreError(f"{self.path} holds no run to resume: config.toml is missing.")
        elif self.path.exists() and any(map(_is_of_a_run, self.path.iterdir())):
            raise StoreError(
                f"{self.path} exists: nothing is written over. Add --resume to go on with it, or "
                f"choose another --run."
            )
        self.path.mkdir(parents=True, exist_ok=True)

    def is_begun(self) -> bool:
        """Whether there is something to go on from: else a resumed run begins anew.

        A job may be killed, and started again by the batch system, before its first checkpoint.
        """
        made = [self.model, self.path / RESULT]
        return has_checkpoint(self.checkpoints) or any(path.exists() for path in made)

    def note_stop(self, requeue: bool, epoch: int, step: int, why: str = "") -> None:
        """stopped.json: where training ended before its time, and whether to start it again.

        why: the sentence of an error that would come again; else it was a signal
        """
        note = {"requeue": requeue, "epoch": epoch, "step": step, "time": round(time.time(), 3)}
        self._write(STOPPED, json.dumps(note | ({"why": why} if why else {})) + "\n")

    def note_job(self, ranks: int, host: str, epochs: int) -> None:
        """job.json: where the run is, stopped no more; raises StoreError when the disk is full."""
        with writing(self.path / JOB):
            note_job(self.path, ranks, host, epochs)

    def write_settings(self, shards: Path, settings: Settings) -> None:
        """config.toml, everything resolved."""
        with atomic_file(self.path / "config.toml", overwrite=True) as beside:
            write_settings(beside, shards, settings)

    def settings(self) -> Settings:
        """The settings of config.toml."""
        return self.shards_and_settings()[1]

    def shards_and_settings(self) -> tuple[Path, Settings]:
        """The shard store and the settings of config.toml; raises StoreError."""
        path = self.path / "config.toml"
        if not path.is_file():
            raise StoreError(
                f"{path} is missing: {self.path} is no run folder. Make one with: "
                f"batchgnn train SHARDS --run {self.path}"
            )
        shards, options = read_options(path, every_subject())
        if shards is None:
            raise StoreError(f"{path} names no shards: it is not what a run wrote.")
        try:
            settings = settings_of(options)
        except ConfigError as error:
            raise StoreError(f"{path} is damaged: {error}") from error
        if wrong := next(misfits(settings), None):
            raise StoreError(f"{path} is damaged: {wrong}. It is not what a run wrote.")
        return shards, settings

    def append_metrics(self, line: dict) -> None:
        """One line a finished epoch in metrics.jsonl; raises StoreError when the disk is full."""
        self.lock.require()
        path = self.path / "metrics.jsonl"
        with writing(path), path.open("a") as file:
            file.write(json.dumps(_finite(line)) + "\n")

    def read_metrics(self) -> list[dict]:
        """The lines of metrics.jsonl."""
        return read_lines(self.path / "metrics.jsonl")

    def cut_metrics(self, num_epochs: int) -> None:
        """Keep the lines of the first `num_epochs` epochs: a resume trains the others again.

        What a full disk or a lost node left of a line belongs to such an epoch too.
        """
        text = read_text(self.path / "metrics.jsonl") or ""
        kept = "".join(line + "\n" for line in text.splitlines()[:num_epochs])
        if kept != text:
            self._write("metrics.jsonl", kept)

    def write_timeline(self, timeline: Timeline) -> None:
        """timeline.json, which Perfetto opens: the spans of one epoch on all ranks."""
        self._write("timeline.json", chrome_trace(timeline))

    def write_model(self, model: SavedModel) -> None:
        """model.h5: the parameters at the best validation score so far."""
        write_model(self.model, model)

    def read_model(self, fingerprint: str | None = None) -> SavedModel:
        """The best model so far; raises StoreError."""
        path = self.model
        if not path.is_file():
            raise StoreError(
                f"{path} is missing: train at least one epoch with an evaluation first."
            )
        try:
            model = read_model(path)
        except (KeyError, ValueError, TypeError, AttributeError, OSError) as error:
            raise damaged(str(path), f"{type(error).__name__}: {error}") from error
        require_finite_weights(path, model.parameters)
        if fingerprint is not None:
            refuse_other_shards(path, model.fingerprint, fingerprint)
        return model

    def has_result(self, num_epochs: int) -> bool:
        """Whether result.json tells of a run of so many epochs: then nothing is left to do."""
        try:
            result = read_result(self.path / RESULT)
        except StoreError:
            return False
        needed = {"metric", "best_epoch", *(f"{each}_{result.get('metric')}" for each in SPLITS)}
        return needed <= result.keys() and result.get("epochs") == num_epochs

    def write_result(self, result: dict) -> None:
        """result.json: scores at the best validation epoch, seconds, ranks, versions."""
        versions = {"batchgnn": __version__, **{name: version(name) for name in LIBRARIES}}
        versions["python"] = platform.python_version()
        text = json.dumps(_finite({**result, "versions": versions}), indent=2)
        self._write(RESULT, text + "\n")

    def summary(self) -> str:
        """Two lines for the end of a run."""
        result = parse_json((self.path / RESULT).read_text())
        name = result["metric"]
        return (
            f"best epoch {result['best_epoch']}: validation {name} {result[f'val_{name}']}, "
            f"test {name} {result[f'test_{name}']}\nresult in {self.path / 'result.json'}"
        )

    def _write(self, name: str, text: str) -> None:
        with atomic_file(self.path / name, overwrite=True) as beside:
            beside.write_text(text)


def _is_of_a_run(path: Path) -> bool:
    """Whether a start wrote it that came further than to the lock."""
    return path.suffix != ".part" and path.name != LOCK


def _finite(value: Any) -> Any:
    """JSON has no nan or infinity: they become null."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
