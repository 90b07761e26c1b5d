"""`import batchgnn` in a program: from arrays, over training on two ranks, to a data frame."""

import importlib.util

import matplotlib
import numpy as np
import pandas
import pytest
from commands import ROOT
from safetensors.numpy import load_file

import batchgnn
from batchgnn.run.export import export

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The folder of examples/from_python.py, and the data frame that it returns."""
    spec = importlib.util.spec_from_file_location("example", ROOT / "examples/from_python.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("python")
    return folder, module.main(folder)


def test_the_example_ends_with_a_data_frame_of_named_predictions(example):
    folder, frame = example
    assert list(frame) == ["original_id", "predicted", *(f"probability_{k}" for k in
                           ("cat", "dog", "owl"))]  # fmt: skip
    assert frame.original_id.tolist() == [f"animal {v}" for v in range(900)]
    run = batchgnn.Run(folder / "run")
    assert run.result["ranks"] == 2
    assert run.result["test_accuracy"] > 0.75
    assert run.evaluate()["test_accuracy"] == pytest.approx(run.result["test_accuracy"])
    assert len(pandas.DataFrame(run.metrics)) == 8
    assert run.settings["hidden"] == 32


def test_parameters_are_those_that_are_exported(example):
    folder, _ = example
    export(folder / "run", folder / "model.safetensors")
    saved, held = load_file(folder / "model.safetensors"), batchgnn.Run(folder / "run").parameters()
    assert saved.keys() == held.keys()
    assert all((saved[name] == held[name]).all() for name in saved)


def test_embeddings_and_another_cut_of_the_graph(example):
    folder, frame = example
    run = batchgnn.Run(str(folder / "run"))
    other = batchgnn.prepare(
        folder / "graph.h5", folder / "other", 3, method="random", seed=1, feature_dtype="float32"
    )
    again = pandas.DataFrame(run.predictions(shards=other))
    assert (again.original_id == frame.original_id).all()
    chances = frame.columns[2:]
    np.testing.assert_allclose(again[chances], frame[chances], atol=1e-5)
    assert len(run.predictions(output="embedding")) == 1 + 32


def test_a_plot_has_loss_and_score_of_every_epoch(example):
    folder, _ = example
    axes = batchgnn.Run(folder / "run").plot()
    (loss,), (score,) = axes.lines, axes.figure.axes[1].lines
    lines = batchgnn.Run(folder / "run").metrics
    np.testing.assert_array_equal(loss.get_ydata(), [line["loss"] for line in lines])
    np.testing.assert_array_equal(score.get_ydata(), [line["val_accuracy"] for line in lines])


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(batchgnn.BatchGNNError, match="is no run folder"):
        batchgnn.Run(tmp_path)
