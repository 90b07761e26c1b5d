"""What a run's files tell: a line of metrics an epoch, and result.json."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from batchgnn.comm.values import values_of_all
from batchgnn.modes.chosen import Chosen
from batchgnn.modes.mode import Mode
from batchgnn.modes.share import Share
from batchgnn.plan.beside import plan_entry, plan_of
from batchgnn.run.by_class import by_class_entry
from batchgnn.run.folder import RunFolder
from batchgnn.run.graph_entry import graph_entry
from batchgnn.run.logs.logs import Logs
from batchgnn.run.outlook import say_rate
from batchgnn.run.training_state import TrainingState
from batchgnn.settings.general import Run
from batchgnn.tasks.score import higher_is_better


class Record:
    """Writes into the run folder on the first rank; every method is collective."""

    def __init__(self, share: Share, folder: RunFolder, shards: Path):
        """shards: as the user named them."""
        self.share, self.folder = share, folder
        self.planned = plan_of(share, shards) if share.is_first else None
        tools = share.settings[Run].log if share.is_first else ()
        self.logs = Logs(folder, tools, share.settings)

    @contextmanager
    def logging(self, finished: Callable[[], bool]) -> Iterator[None]:
        """The block trains, and other tools are told of its epochs and those before it.

        finished: whether no job is to go on, asked at the end
        """
        self.logs.open()
        try:
            yield
        finally:
            self.logs.close(finished=finished())

    def end_epoch(self, line: dict[str, Any]) -> None:
        """A line of metrics, with when it ended."""
        line = line | {"time": round(time.time(), 3)}
        if self.share.is_first:
            self.folder.append_metrics(line)
        self.logs.write(line)

    def end(self, state: TrainingState, mode: Mode) -> None:
        """result.json; the model is the best one from then on."""
        held = self._held() | graph_entry(self.share)
        held |= by_class_entry(self.share, mode, state.best_parameters)
        if self.share.is_first:
            self.folder.write_result(self._result(state, mode) | held | {"plan": self._plan()})
            print(self.folder.summary(), flush=True)

    def _result(self, state: TrainingState, mode: Mode) -> dict[str, Any]:
        """What result.json holds besides the versions."""
        share, name = self.share, self.share.task.metric
        chosen = share.settings[Chosen]
        return {
            "task": chosen.task,
            "metric": name,
            "higher_is_better": higher_is_better(name),
            f"test_{name}": float("nan"),
            f"val_{name}": float("nan"),
            **state.best,
            "best_epoch": state.best_epoch,
            "epochs": state.epoch,
            "epoch_seconds": state.epoch_seconds,
            "ranks": share.grid.size,
            "threads": share.threads,
            "mode": chosen.mode,
            "exactness": mode.exactness,
            **share.task.facts,
            **mode.totals(),
            "num_parameters": int(share.model.parameters.size),
        }

    def _plan(self) -> dict[str, Any] | None:
        """What was predicted of the epochs beside what they took."""
        if self.planned is None:
            return None
        prediction, rates = self.planned
        why = self.share.why_mode or f"--mode {self.share.settings[Chosen].mode}. "
        why += "" if self.share.why_mode else f"Rates {rates.where}."
        return plan_entry(prediction, why, self.folder.read_metrics())

    def _held(self) -> dict[str, list[Any]]:
        """What every rank had to work on, for result.json; lists over ranks."""
        own = self.share.own
        seeds = self.share.task.seeds(own, self.share.split_index)
        mine = (own.num_own, int(own.degree_in.sum()), sum(map(len, seeds.own)))
        said = values_of_all(self.share.grid.world, [self.share.grid.host, *mine])
        hosts, *counts = zip(*said, strict=True)
        names = ("rank_vertices", "rank_edges", "rank_seeds")
        return {"hosts": list(hosts)} | {
            name: list(each) for name, each in zip(names, counts, strict=True)
        }


def describe(line: dict[str, Any], left: str = "") -> str:
    """One readable line of an epoch's metrics; left: how long the others will take."""
    words = [f"epoch {line['epoch']}", f"loss {line['loss']:.4f}", f"{line['seconds']:.2f} s"]
    words += [f"{k} {v:.4f}" for k, v in line.items() if k.startswith(("val_", "test_"))]
    return "  ".join(filter(None, [*words, say_rate(line), left]))
