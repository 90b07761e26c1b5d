"""MLflow: `MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri RUN/mlflow`.

A file store needs no server and no database, so that `mlflow-skinny` can write it. MLflow keeps it
as it is and asks for the variable; `mlflow migrate-filestore` takes it to a database. Its client
remembers the stores that it has opened, and would not see that one is begun anew.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it sends from its import on

from mlflow.entities import Metric, Param, RunStatus
from mlflow.store.tracking.file_store import FileStore

from batchgnn.run.logs.log import emptied


class ToolLog:
    """A run of the experiment `batchgnn` in the file store `RUN/mlflow`."""

    def __init__(self, folder: Path, name: str, settings: Mapping[str, Any]):
        self.store = FileStore(emptied(folder).resolve().as_uri())
        experiment = self.store.create_experiment("batchgnn")
        self.run = self.store.create_run(experiment, "unknown", _now_ms(), [], name).info.run_id
        params = [Param(option, str(value)) for option, value in settings.items()]
        self.store.log_batch(self.run, [], params, [])

    def write(self, epoch: int, values: Mapping[str, float], time_s: float) -> None:
        """As `Log.write`; MLflow has no @ in names."""
        ms = int(1000 * time_s)
        curves = {name.replace("@", "_at_"): value for name, value in values.items()}
        metrics = [Metric(name, value, ms, epoch) for name, value in curves.items()]
        self.store.log_batch(self.run, metrics, [], [])

    def close(self, *, finished: bool) -> None:
        """As `Log.close`."""
        status = RunStatus.FINISHED if finished else RunStatus.KILLED
        self.store.update_run_info(self.run, status, _now_ms(), None)


def _now_ms() -> int:
    return int(1000 * time.time())
