"""`--log`: tools' own readers find the curves of metrics.jsonl, each epoch once."""

import configparser
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from curves import READERS, mlflow_run
from pages import ROOT
from runs import make_lines, make_run, write_lines

from batchgnn import BatchGNNError, Run
from batchgnn.run.folder import RunFolder
from batchgnn.run.logs.logs import Logs
from batchgnn.run.logs.tools import TOOLS, log_of

INSTALLED = ("tensorboard", "mlflow")
SLOWLY = [*INSTALLED, pytest.param("wandb", marks=pytest.mark.slow)]


@pytest.fixture
def folder(tmp_path):
    """A run of three epochs, two of them with scores."""
    make_run(tmp_path / "a run", num_epochs=3, eval_every=2, scores=("hits@10",), finished=False)
    return RunFolder(tmp_path / "a run")


def logs_of(folder, *names):
    logs = Logs(folder, names, folder.settings())
    logs.open()
    return logs


def forget(monkeypatch, tool):
    """Its module is imported again, here and after the test."""
    monkeypatch.setitem(sys.modules, f"batchgnn.run.logs.{tool}", None)
    del sys.modules[f"batchgnn.run.logs.{tool}"]


@pytest.mark.parametrize("tool", SLOWLY)
def test_each_epoch_is_there_once_after_a_kill_and_a_resume(tool, folder):
    killed = logs_of(folder, tool)
    if tool == "wandb":  # whose service is killed with the process, and this one goes on
        killed.close(finished=False)
    lines = make_lines(4, 2, seed=1, eval_every=2, scores=("hits@10",))
    lines[0]["loss"] = None  # not finite
    write_lines(folder.path, lines[:2])
    resumed = logs_of(folder, tool, tool)
    for line in lines[2:]:
        resumed.write(line)
    resumed.close(finished=True)
    curves = READERS[tool](folder.path / tool)
    assert {each.removeprefix("_") for each in curves} - {"step", "runtime", "timestamp"} == {
        *("loss", "seconds", "evaluate_seconds", "deduplication"),
        *(f"{split}_hits{'_at_' if tool == 'mlflow' else '@'}10" for split in ("val", "test")),
    }
    assert [step for step, _ in curves["seconds"]] == [1, 2, 3, 4]
    for name, steps in (("loss", (2, 3, 4)), ("evaluate_seconds", (2, 4))):
        expected = [(step, lines[step - 1][name]) for step in steps]
        np.testing.assert_allclose(curves[name], expected, rtol=1e-6)


def test_mlflow_has_the_settings_and_how_the_run_ended(folder):
    for finished, status in ((False, "KILLED"), (True, "FINISHED")):
        logs_of(folder, "mlflow").close(finished=finished)
        found, _ = mlflow_run(folder.path / "mlflow")
        assert (found.info.status, found.info.run_name) == (status, "a run")
        assert found.data.params["hidden"] == "64"


def test_wandb_stays_offline_and_a_resumed_run_keeps_its_id(folder, monkeypatch):
    """Of a stand-in: the package is not among what tests need. The slow test above has itself."""
    said = []

    def init(**how):
        (how["dir"] / "wandb" / "offline-run-20261128_133000-abc").mkdir(parents=True)
        said.append(how)
        return SimpleNamespace(log=lambda *_, **how: said.append(how), finish=said.append)

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, Settings=dict))
    forget(monkeypatch, "wandb")
    for _ in range(2):
        logs_of(folder, "wandb")
    begun = [each for each in said if "mode" in each]
    assert [(each["mode"], each["id"]) for each in begun] == [("offline", None), ("offline", "abc")]
    assert said[1:4] == [{"step": 1}, {"step": 2}, {"step": 3}]


class Broken:
    """A log that fails in what it is told to."""

    fails_in = ""

    def __init__(self, *_):
        self.write(0)

    def write(self, epoch, *_):
        if self.fails_in == epoch:
            raise OSError("no room")

    def close(self, *, finished):
        self.write("close")


@pytest.mark.parametrize("where", [0, 2, 4, "close"], ids="when {} fails".format)
def test_a_log_that_fails_is_said_once_and_the_others_go_on(where, folder, monkeypatch, capsys):
    broken = type("Broken", (Broken,), {"fails_in": where})
    monkeypatch.setitem(sys.modules, "batchgnn.run.logs.wandb", SimpleNamespace(ToolLog=broken))
    logs = logs_of(folder, "wandb", "tensorboard")
    for line in make_lines(5, 2)[3:]:
        logs.write(line)
    logs.close(finished=True)
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(
        "batchgnn: --log wandb failed and is left out from here on (OSError: no room). "
    )
    assert len(READERS["tensorboard"](folder.path / "tensorboard")["loss"]) == 5


@pytest.mark.parametrize("tool", TOOLS)
def test_a_missing_package_is_named_with_what_to_type(tool, monkeypatch):
    for name in [tool, *(name for name in sys.modules if name.startswith(f"{tool}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    forget(monkeypatch, tool)
    with pytest.raises(
        BatchGNNError, match=rf"^--log {tool} needs .*: pip install 'batchgnn\[{tool}\]'$"
    ):
        log_of(tool)


def test_a_tool_is_an_extra_that_nothing_needs_to_run():
    options = configparser.ConfigParser()
    options.read(ROOT / "setup.cfg")
    needed = options["options"]["install_requires"]
    for tool in TOOLS:
        (package,) = options["options.extras_require"][tool].split()
        assert package.startswith(tool)
        assert tool not in needed
    without = f"import sys; sys.modules.update(dict.fromkeys({TOOLS}))"
    look = f"{without}; import batchgnn.run.train, batchgnn.api.run"
    subprocess.run([sys.executable, "-c", look], check=True)


def test_a_run_that_trains_or_an_unknown_tool_is_refused_after_the_fact(folder):
    run = Run(folder.path)
    with pytest.raises(
        BatchGNNError, match="no log excel: needed one of tensorboard, mlflow, wandb"
    ):
        run.log("tensorboard", "excel")
    with folder.lock as lock:
        lock.take()
        with pytest.raises(BatchGNNError, match="is being trained by"):
            run.log("tensorboard")
    assert not (folder.path / "tensorboard").exists()
    assert run.log("tensorboard") == [folder.path / "tensorboard"]
    assert not (folder.path / "lock.json").exists()
