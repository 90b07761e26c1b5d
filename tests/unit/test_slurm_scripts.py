"""Batch scripts, word for word; `BATCHGNN_GOLDEN=write pytest` writes the expected files anew."""

import os
import subprocess
from pathlib import Path

import pytest
from commands import refused, succeed
from graphs import learnable_graph, shards_of

from batchgnn.base.errors import ConfigError
from batchgnn.launch.slurm import Pipeline, scripts

GOLDEN = Path(__file__).parent / "golden"
PIPELINES = {
    "whole": Pipeline(
        name="products",
        convert="convert ogb /data/ogbn_products --name 'a b'",
        cut="--shards 32 --method metis",
        train="--model sage --epochs 20 --fanouts 15 10 5",
        nodes=4,
        ranks_per_node=2,
        threads_per_rank=16,
        time="12:00:00",
        memory="180G",
        partition="cpu",
        account="graphs",
        sbatch=("--exclusive", "--constraint=icelake"),
        modules=("gcc/13", "openmpi/5"),
        venv=Path("/home/me/gnn env"),
        mpi="openmpi",
    ),
    "array": Pipeline(
        shards=Path("/data/shards"),
        train="--model gcn",
        seeds=(1, 2),
        sweep=("--lr 0.01", "--lr 0.003 --dropout 0.2"),
        at_once=2,
        nodes=2,
        ranks_per_node=4,
        mpi="mpich",
    ),
    "srun": Pipeline(
        shards=Path("/data/shards"),
        train="--model gat",
        nodes=2,
        threads_per_rank=8,
        start="srun",
        container="apptainer exec gnn.sif",
        program="python -m batchgnn",
        report=False,
        mpi="openmpi",
    ),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_scripts_word_for_word(name):
    made = scripts(PIPELINES[name], Path("/work/run folder" if name == "whole" else "/work/p"))
    text = "".join(f"==> {step} <==\n{script}\n" for step, script in made.items())
    golden = GOLDEN / f"slurm-{name}.txt"
    if os.environ.get("BATCHGNN_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("name", PIPELINES)
def test_bash_can_read_them(name):
    for script in scripts(PIPELINES[name], Path("/work/p")).values():
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def start_line(**settings):
    script = scripts(Pipeline(train="--model sage", nodes=2, **settings), Path("/p"))["evaluate"]
    return next(line for line in script.splitlines() if line.endswith(" \\"))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"mpi": "openmpi"}, "mpirun -n 2 --bind-to core --map-by ppr:1:node:PE=1 -x NUMBA_NUM"),
        ({"mpi": "openmpi", "bind": False}, "mpirun -n 2 --bind-to none --map-by ppr:1:node -x"),
        ({"mpi": "mpich", "threads_per_rank": 4}, "mpiexec -n 2 -ppn 1 -bind-to core:4 \\"),
        (
            {"mpi": "mpich", "start": "srun"},
            "srun --mpi=pmi2 --ntasks=2 --cpus-per-task=1 --cpu-bind=cores \\",
        ),
        (
            {"mpi": "openmpi", "start": "srun", "srun_mpi": "pmi2", "bind": False},
            "srun --mpi=pmi2 --ntasks=2 --cpus-per-task=1 --cpu-bind=none \\",
        ),
    ],
)
def test_ranks_are_started_as_each_mpi_wants(settings, expected):
    assert start_line(**settings).startswith(expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "nothing to run"),
        ({"train": "--model sage", "time": "soon"}, "--time soon: write minutes"),
        ({"train": "--model sage", "sweep": ("--lr $(rm)",)}, "quotes and \\$ are not possible"),
        ({"train": "--model 'sage"}, "--train: No closing quotation"),
        ({"train": "--model sage\n#SBATCH --wrap=x"}, "--train '--model sage.*line breaks"),
        ({"train": "--lr 1", "name": "a\nrm"}, "--name .*line breaks"),
        ({"train": "--lr 1", "sbatch": ("--exclusive\nrm",)}, "--sbatch .*line breaks"),
        ({"train": "--lr 1", "modules": ("a", "b\r")}, "--modules .*line breaks"),
        ({"train": "--lr 1", "graph": Path("/a\nb")}, "--graph .*line breaks"),
        ({"train": "--lr 1", "container": "a\nb"}, "--container .*line breaks"),
        ({"train": "--lr 1", "account": "a b"}, "--account 'a b': no spaces"),
        ({"train": "--lr 1", "container": "run 'a"}, "--container: No closing quotation"),
        ({"train": "--lr 1", "program": "batchgnn #"}, "--program: # would hide"),
        ({"train": "--run x"}, "the script sets --run"),
        ({"train": "--seed 2", "seeds": (1,)}, "--seed with --seeds"),
    ],
)
def test_what_no_script_can_be_made_of_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        scripts(Pipeline(mpi="openmpi", **settings), Path("/p"))


def test_a_file_and_options_make_one_pipeline_and_dry_run_writes_nothing(tmp_path):
    settings, out = tmp_path / "p.toml", tmp_path / "p"
    shards = shards_of(learnable_graph(), tmp_path / "shards")
    settings.write_text(
        'train = "--model gin"\nnodes = 3\nmpi = "mpich"\ntime = "90"\npartition = "fast"\n'
        f'shards = "{shards}"\n'
    )
    line = ["slurm", "write", out, "--config", settings, "--nodes", 2]
    shown = succeed(*line, "--dry-run")
    assert "--model gin" in shown
    assert "#SBATCH --partition=fast" in shown
    assert "#SBATCH --nodes=2" in shown
    assert "#SBATCH --time=90" in shown
    assert "mpiexec -n 2" in shown
    assert not out.exists()
    succeed(*line)
    written = (out / "jobs" / "1-train.sh").read_text()
    assert written in shown
    assert "exists already" in refused(*line)
    assert "sbatch --parsable" in succeed("slurm", "submit", out, "--dry-run")
    said = succeed("slurm", "submit", out, "--dry-run")
    assert "--dependency=afterok:TRAIN --kill-on-invalid-dep=yes" in said
    other = ["slurm", "submit", out, "--config", settings, "--nodes", 4, "--dry-run"]
    assert "has other scripts than these settings make" in refused(*other)
    settings.write_text("ranks = 3\n")
    assert "ranks" in refused(*line)
    assert "has no scripts. Say what to run" in refused("slurm", "submit", tmp_path / "none")
