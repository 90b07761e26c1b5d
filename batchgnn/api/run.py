"""A run folder, for Python: metrics, the result, predictions, parameters, a plot."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from batchgnn.api.command import Word, command
from batchgnn.base.parse import parse_json
from batchgnn.run.export import best_model, best_state
from batchgnn.run.folder import RunFolder
from batchgnn.run.logs.logs import write_logs
from batchgnn.run.run_files import read_result
from batchgnn.run.run_state import RESULT
from batchgnn.store.prediction_table import table_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Run:
    """A run that has begun: what is there is read anew each time.

    >>> Run("run").path
    PosixPath('run')
    """

    def __init__(self, path: str | os.PathLike):
        """Raises StoreError when `path` is no run folder."""
        self.path = Path(path)
        self._folder = RunFolder(self.path)
        self._folder.settings()

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """A mapping an epoch: loss, scores, seconds, bytes; `pandas.DataFrame` takes the list.

        >>> [line["epoch"] for line in Run("run").metrics]
        [1, 2, 3, 4]
        """
        return self._folder.read_metrics()

    @property
    def result(self) -> dict[str, Any]:
        """result.json: best scores, seconds, ranks; empty until training has ended.

        >>> result = Run("run").result
        >>> result["metric"], result["epochs"], result["test_accuracy"] > 0.8
        ('accuracy', 4, True)
        """
        return read_result(self.path / RESULT)

    @property
    def class_scores(self) -> dict[str, dict[str, float]]:
        """Precision, recall, F1 and test vertices of each class, by the best model.

        Empty until training has ended, and where vertices have no classes. As a table:
        `pandas.DataFrame(run.class_scores).T`.

        >>> list(Run("run").class_scores["owl"])
        ['precision', 'recall', 'f1', 'vertices', 'predicted']
        """
        return self.result.get("class_scores", {})

    @property
    def settings(self) -> dict[str, Any]:
        """Every option, as it was.

        >>> Run("run").settings["fanouts"]
        (2, 2)
        """
        return self._folder.settings().options()

    def evaluate(self, split: str = "test", *, ranks: int = 1) -> dict[str, float]:
        """Exact scores of the best model on a split: train, val or test.

        >>> list(Run("run").evaluate("val"))
        ['val_accuracy']
        """
        words: list[Word] = ["evaluate", self.path, "--split", split]
        return parse_json(command(words, ranks=ranks, show=False).strip().splitlines()[-1])

    def predictions(
        self,
        *,
        output: str = "prediction",
        shards: str | os.PathLike | None = None,
        ranks: int = 1,
    ) -> dict[str, np.ndarray]:
        """Columns (N,) by name, which `pandas.DataFrame` takes, as `batchgnn predict` writes them.

        output  `prediction`: of classes `predicted`, by name, and `probability_NAME` of each, or
                `number`; `embedding`: the last layer's input rows
        shards  another store: another cut, or another graph with the same features and classes

        >>> columns = Run("run").predictions()
        >>> list(columns)
        ['original_id', 'predicted', 'probability_cat', 'probability_dog', 'probability_owl']
        >>> columns["original_id"][:3].tolist(), columns["predicted"][:3].tolist()
        ([0, 1, 2], ['cat', 'cat', 'cat'])
        """
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "predictions.h5"
            words: list[Word] = ["predict", self.path, file, "--output", output]
            if shards is not None:
                words += ["--shards", shards]
            command(words, ranks=ranks, show=False)
            chunks = list(table_of(file))
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}

    def parameters(self) -> dict[str, np.ndarray]:
        """The best model's parameters, named and shaped as in PyTorch Geometric.

        Of --inputs embedding `inputs.weight` (N, d) too, in the order of the graph.

        >>> parameters = Run("run").parameters()
        >>> parameters["convs.1.lin_l.weight"].shape
        (3, 256)
        """
        return best_state(best_model(self.path), self.path)

    def log(self, *tools: str) -> list[Path]:
        """Write the curves of all epochs for other tools, as `train --log` does while it trains.

        tools  of tensorboard, mlflow and wandb, each in a folder of its name in the run's: these
               folders are returned

        >>> Run("run").log("tensorboard")
        [PosixPath('run/tensorboard')]
        """
        write_logs(self._folder, tools)
        return [self.path / tool for tool in tools]

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Draw loss and validation score by epoch with matplotlib; returns the axes of the loss.

        >>> axes = Run("run").plot()
        >>> axes.figure.savefig("curves.png")
        """
        from matplotlib import pyplot

        axes = axes or pyplot.figure(layout="constrained").add_subplot()
        lines = self.metrics
        (loss,) = axes.plot([line["epoch"] for line in lines], [line["loss"] for line in lines])
        axes.set(xlabel="epoch", ylabel="training loss", title=self.path.name)
        name = f"val_{self.settings['metric']}"
        scored = [line for line in lines if line.get(name) is not None]
        other = axes.twinx()
        other.set_ylabel(name)
        (score,) = other.plot(
            [line["epoch"] for line in scored], [line[name] for line in scored], color="tab:orange"
        )
        axes.legend([loss, score], ["training loss", name])
        return axes
