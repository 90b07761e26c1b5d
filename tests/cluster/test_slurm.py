"""A real Slurm of four nodes runs what `batchgnn slurm submit` makes, through stops, to the end."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from cluster.private_slurm import private_slurm, why_not
from commands import ROOT, Terminal, finish, refused, succeed
from jobs import assert_same_weights, wait_while_it_runs

from batchgnn.launch.mpirun import Flavour, find_mpirun, root_environment

REASON = why_not()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]
PLACE = ["--nodes", 4, "--no-bind", "--save-before", 30]
PROGRAM = ["--program", f"{sys.executable} -m batchgnn"]
SHORT = "--layers 2 --fanouts 6 3 --hidden 16 --batch-size 40 --macrobatch 4 --lr 0.003 --epochs"


@contextlib.contextmanager
def open_to_all(folder):
    """Let other users pass through a temporary folder."""
    Path(folder).chmod(0o755)
    yield


@pytest.fixture(scope="module")
def slurm():
    """The cluster; every command of this module's tests talks to it."""
    added = root_environment(os.geteuid()) | {
        "PATH": f"{Path(find_mpirun().path).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    with (
        tempfile.TemporaryDirectory(prefix="batchgnn-slurm-") as folder,
        open_to_all(folder),
        private_slurm(Path(folder) / "state", nodes=4) as slurm,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in (added | slurm.environment).items():
            patch.setenv(name, value)
        yield slurm


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    sizes = ["--vertices", 10_000, "--features", 16, "--classes", 5, "--noise", 2]
    succeed("data", "generate", "communities", folder / "graph.h5", *sizes)
    succeed("partition", folder / "graph.h5", folder / "shards", "--shards", 4)
    return folder / "shards"


@pytest.fixture(scope="module")
def whole(shards):
    """What a run on four ranks ends with when nothing disturbs it."""
    out = shards.parent / "whole"
    succeed("train", shards, "--run", out, *SHORT.split(), 4, "--no-overlap", ranks=4)
    return out


def submit(folder, shards, *, epochs=4, minutes=5):
    train = f"{SHORT} {epochs} --no-overlap"
    work = ["--shards", shards, "--train", train, "--no-report"]
    time = ["--time", minutes]
    return succeed("slurm", "submit", folder, *work, *PLACE, *time, *PROGRAM)


def jobs_of(folder):
    return {j["step"]: j["number"] for j in json.loads((folder / "jobs" / "jobs.json").read_text())}


def log(folder):
    return "\n".join(path.read_text() for path in sorted((folder / "logs").glob("*")))


def wait(slurm, condition, folder, timeout_s=90):
    end = time.monotonic() + timeout_s
    while not condition():
        queue = slurm.call("squeue", "-h", "-o", "%i %j %T %r")
        assert time.monotonic() < end, f"{queue}\n{log(folder)}"
        time.sleep(0.2)


def all_ended(slurm, folder):
    numbers = ",".join(jobs_of(folder).values())
    return lambda: not slurm.call("squeue", "-h", "-j", numbers)


def state(slurm, number):
    words = slurm.call("scontrol", "-o", "show", "job", number).split()
    return dict(word.split("=", 1) for word in words if "=" in word)


def test_a_pipeline_from_a_file_runs_unattended_on_four_nodes(slurm, tmp_path):
    folder, settings = tmp_path / "p", tmp_path / "pipeline.toml"
    settings.write_text(
        f"""
        convert = "generate communities --vertices 5000 --features 16 --classes 5"
        cut = "--shards 4"
        train = "{SHORT} 2"
        nodes = 4
        bind = false
        time = "5"
        program = "{sys.executable} -m batchgnn"
        """
    )
    said = succeed("slurm", "submit", folder, "--config", settings)
    assert "submitted: convert 1, partition 2, train 3, evaluate 4, report 5" in said
    waits = succeed("status", folder)
    assert "train      job 3: PENDING (Dependency)" in waits
    assert "has jobs in the queue" in refused("slurm", "submit", folder)
    wait(slurm, all_ended(slurm, folder), folder)
    jobs = jobs_of(folder)
    begun = [state(slurm, number) for number in jobs.values()]
    assert [job["JobState"] for job in begun] == ["COMPLETED"] * len(jobs), log(folder)
    assert begun[2]["NumNodes"] == "4"
    assert begun[2]["ExitCode"] == "0:0"
    result = json.loads((folder / "run" / "result.json").read_text())
    assert result["ranks"] == 4
    assert result["epochs"] == 2
    scores = json.loads((folder / "logs" / "evaluate-4.log").read_text())
    assert scores["test_accuracy"] == result["test_accuracy"]
    finished = succeed("status", folder)
    assert f"{folder / 'run'}: finished; test accuracy {result['test_accuracy']}" in finished
    assert "train      job 3: COMPLETED" in finished
    page = (folder / "run" / "report.html").read_text()
    assert "<html" in page
    assert f'data-value="{result["test_accuracy"]}"' in page
    begun = time.monotonic()
    for step in ("1-convert", "2-partition"):  # they are done, and passed over
        script = ["bash", folder / "jobs" / f"{step}.sh"]
        subprocess.run(script, env=dict(os.environ) | {"SLURM_CPUS_PER_TASK": "1"}, check=True)
    assert time.monotonic() - begun < 1


def test_the_signal_before_the_time_limit_requeues_and_the_run_ends_the_same(
    slurm, shards, whole, tmp_path
):
    folder = tmp_path / "p"
    submit(folder, shards)
    train, evaluate = jobs_of(folder).values()
    wait(slurm, (folder / "run" / "metrics.jsonl").exists, folder)
    assert "epoch 1: loss" in succeed("status", folder / "run")
    slurm.call("scancel", "--batch", "--signal=USR1", train)
    wait(slurm, lambda: state(slurm, train)["Restarts"] == "1", folder)
    assert state(slurm, evaluate)["JobState"] == "PENDING"
    wait(slurm, all_ended(slurm, folder), folder)
    assert "will be started again: its state at epoch" in log(folder)
    assert f"the time is up; job {train} waits to go on" in log(folder)
    assert "a node is gone" not in log(folder)
    assert "No such process" not in log(folder)
    ends = [state(slurm, number)["JobState"] for number in (train, evaluate)]
    assert ends == ["COMPLETED"] * 2, log(folder)
    assert_same_weights(folder / "run", whole)


def test_cancel_saves_and_ends_what_waits(slurm, shards, whole, tmp_path):
    folder = tmp_path / "p"
    submit(folder, shards)
    train, evaluate = jobs_of(folder).values()
    wait(slurm, (folder / "run" / "metrics.jsonl").exists, folder)
    said = succeed("cancel", folder)
    assert f"job {train} saves its state and ends" in said
    assert "1 other jobs are ended" in said
    wait(slurm, all_ended(slurm, folder), folder, 20)
    assert state(slurm, train)["ExitCode"] == "143:0"
    assert state(slurm, evaluate)["JobState"] == "CANCELLED"
    assert "was told to end: its state at epoch" in log(folder)
    assert "by a signal, was ended; go on with --resume" in succeed("status", folder)
    assert "nothing of it runs or waits" in succeed("cancel", folder)
    succeed("train", shards, "--run", folder / "run", "--resume", ranks=4)
    assert_same_weights(folder / "run", whole)


def test_scancel_leaves_no_process_and_a_later_submit_ends_the_run(slurm, shards, whole, tmp_path):
    folder = tmp_path / "p"
    submit(folder, shards)
    wait(slurm, (folder / "run" / "metrics.jsonl").exists, folder)
    slurm.call("scancel", *jobs_of(folder).values())
    end = time.monotonic() + 15
    while ranks := [p for p in slurm.processes() if str(folder) in " ".join(command_line(p))]:
        assert time.monotonic() < end, ranks
        time.sleep(0.2)
    wait(slurm, all_ended(slurm, folder), folder, 20)
    assert not (folder / "run" / "result.json").exists()
    succeed("slurm", "submit", folder)
    wait(slurm, all_ended(slurm, folder), folder)
    assert_same_weights(folder / "run", whole)


def command_line(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_job_array_trains_every_seed(slurm, shards, tmp_path):
    folder = tmp_path / "p"
    options = ["--seeds", 5, 6, "--sweep", "--lr 0.01", "--nodes", 2]
    train = f"{SHORT.replace('--lr 0.003 ', '')} 1"
    work = ["--shards", shards, "--train", train, "--no-report", "--no-bind", *PROGRAM]
    succeed("slurm", "submit", folder, *work, *options)
    wait(slurm, all_ended(slurm, folder), folder)
    for task, seed in enumerate([5, 6]):
        settings = (folder / f"run-{task}" / "config.toml").read_text()
        assert f"seed = {seed}\n" in settings
        assert "lr = 0.01\n" in settings
        result = json.loads((folder / f"run-{task}" / "result.json").read_text())
        number = jobs_of(folder)["evaluate"]
        scores = json.loads((folder / "logs" / f"evaluate-{number}-{task}.log").read_text())
        assert scores["test_accuracy"] == result["test_accuracy"]
        assert json.loads((folder / f"run-{task}" / "job.json").read_text())["slurm_job"] == (
            f"{jobs_of(folder)['train']}_{task}"
        )
    assert "2 runs, 2 COMPLETED" in succeed("status", folder)


@pytest.fixture
def pmi(slurm, monkeypatch):
    """What Slurm and the MPI share.

    The long addresses of UCX are damaged on their way through PMI-2 of Slurm 22.05 at times.
    """
    monkeypatch.setenv("MPIR_CVAR_CH4_NETMOD", "ofi")
    kind = "pmi2" if find_mpirun().flavour is Flavour.MPICH else "pmix"
    probe = ["srun", f"--mpi={kind}", "-n", "1", "true"]
    tried = subprocess.run(probe, capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"this Slurm has no {kind} (Debian's pmix needs libpmix-dev): {tried.stderr}")
    return kind


@pytest.mark.parametrize("ranks", [1, 2])
def test_ctrl_c_under_srun_saves_and_says_the_command_that_goes_on(pmi, shards, tmp_path, ranks):
    out = tmp_path / "run"
    line = ["train", shards, "--run", out, *SHORT.split(), 1000]
    srun = ["srun", "-X", f"--mpi={pmi}", "-N", str(ranks), "-n", str(ranks)]
    with Terminal() as terminal:
        process = terminal.start(*line, before=srun)
        wait_while_it_runs(process, (out / "metrics.jsonl").exists)
        terminal.ctrl_c()
        done = finish(process, 30)
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    started = "batchgnn" if ranks == 1 else f"srun -n {ranks} batchgnn"
    assert f"is saved. Go on with: {started} train {shards} --run {out}" in done.stderr
    assert "by a signal, was ended; go on with --resume" in succeed("status", out)


def test_a_second_ctrl_c_under_srun_ends_ranks_of_which_one_is_stopped(
    slurm, pmi, shards, tmp_path
):
    out = tmp_path / "run"
    line = ["train", shards, "--run", out, *SHORT.split(), 1000]
    srun = ["srun", "-X", f"--mpi={pmi}", "-N", "2", "-n", "2"]
    with Terminal() as terminal:
        process = terminal.start(*line, before=srun)
        wait_while_it_runs(process, (out / "metrics.jsonl").exists)
        mine = [p for p in slurm.processes() if str(out) in " ".join(command_line(p))]
        next(p for p in mine if p.environ().get("SLURM_PROCID") == "1").suspend()
        for _ in range(2):
            terminal.ctrl_c()
            time.sleep(0.7)
        done = finish(process, 20)
    assert done.returncode != 0
    assert "forcing job termination" in done.stderr
    assert not (out / "stopped.json").exists()


def test_srun_starts_the_ranks_where_slurm_and_the_mpi_share_a_pmi(
    slurm, pmi, shards, whole, tmp_path
):
    folder = tmp_path / "p"
    train = f"{SHORT} 4 --no-overlap"
    work = ["--shards", shards, "--train", train, "--no-report", *PLACE, *PROGRAM]
    succeed("slurm", "submit", folder, *work, "--start", "srun")
    assert f"srun --mpi={pmi} --ntasks=4" in (folder / "jobs" / "1-train.sh").read_text()
    train, evaluate = jobs_of(folder).values()
    wait(slurm, (folder / "run" / "metrics.jsonl").exists, folder)
    slurm.call("scancel", "--batch", "--signal=USR1", train)
    wait(slurm, lambda: state(slurm, train)["Restarts"] == "1", folder)
    wait(slurm, all_ended(slurm, folder), folder)
    ends = [state(slurm, number)["JobState"] for number in (train, evaluate)]
    assert ends == ["COMPLETED"] * 2, log(folder)
    assert json.loads((folder / "run" / "result.json").read_text())["ranks"] == 4
    assert_same_weights(folder / "run", whole)


NOBODY = 65534
OTHERS_JOB = "#!/bin/bash\n#SBATCH --job-name=batchgnn-train -o /dev/null -D / -n 1\nsleep 300\n"


@pytest.fixture
def others(slurm):
    """Jobs of another user of the same cluster, with the names that ours have; their numbers."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")

    def as_nobody(*argv, text=None):
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        done = subprocess.run(argv, input=text, capture_output=True, text=True, cwd="/", **user)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    jobs = [as_nobody("sbatch", "--parsable", *how, text=OTHERS_JOB) for how in ([], ["--hold"])]
    yield jobs
    as_nobody("scancel", *jobs)


def test_jobs_of_another_user_are_neither_counted_nor_ended(slurm, others, shards, tmp_path):
    folder = tmp_path / "p"
    submit(folder, shards)
    wait(slurm, (folder / "run" / "metrics.jsonl").exists, folder)
    seen = slurm.call("squeue", "-h", "-o", "%A %u %j").splitlines()
    assert {line.split()[1] for line in seen} == {"root", "nobody"}, seen
    assert {f"{job} nobody batchgnn-train" for job in others} < set(seen)
    said = succeed("status", folder) + succeed("status", folder / "run")
    mine = set(jobs_of(folder).values())
    assert set(re.findall(r"job (\d+)", said)) == mine
    assert not mine & set(others)
    succeed("cancel", folder)
    wait(slurm, all_ended(slurm, folder), folder, 20)
    assert [state(slurm, job)["JobState"] for job in others] == ["RUNNING", "PENDING"]
    assert re.findall(r"job (\d+)", succeed("cancel", folder)) == []
    assert [state(slurm, job)["JobState"] for job in others] == ["RUNNING", "PENDING"]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_slurms_own_time_limit(slurm, shards, tmp_path):
    """A limit of a minute, and a run that takes more: it goes on in a second job, or a third."""
    folder, whole = tmp_path / "p", tmp_path / "whole"
    epochs = 90
    line = ["train", shards, "--run", whole, *SHORT.split(), epochs, "--no-overlap"]
    succeed(*line, ranks=4, timeout_s=280)
    submit(folder, shards, epochs=epochs, minutes=1)
    wait(slurm, all_ended(slurm, folder), folder, timeout_s=900)
    train = jobs_of(folder)["train"]
    print(f"started again {state(slurm, train)['Restarts']} times by the time limit")
    assert int(state(slurm, train)["Restarts"]) >= 1
    assert state(slurm, train)["JobState"] == "COMPLETED"
    assert_same_weights(folder / "run", whole)
