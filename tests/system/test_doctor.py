"""`batchgnn doctor` alone and on two ranks; what it cannot go on with."""

import json
import os
import subprocess
import sys

import pytest
from commands import command, environment, refused, run, succeed


def test_two_ranks_are_seen():
    said = json.loads(succeed("doctor", "--json", ranks=2))
    ranks = said["job"]["ranks"]
    assert [each["rank"] for each in ranks] == [0, 1]
    assert [each["threads"] for each in ranks] == [max(1, os.cpu_count() // 2)] * 2
    assert {each["layer"] for each in ranks} <= {"omp", "tbb"}
    assert {each["layer"] for each in ranks}
    assert said["job"]["mpi"]["threads"].startswith("MPI_THREAD_")
    assert ranks[0]["cache"]["writable"]
    assert ranks[0]["blas"]
    assert not [each for each in said["findings"] if each["level"] == "error"]


def test_people_get_one_table():
    said = succeed("doctor", ranks=2)
    assert said.count("versions ") == said.count("rank 0 ") == said.count("rank 1 ") == 1


def test_an_mpirun_of_another_mpi_fails():
    done = subprocess.run(
        command(["doctor"]),
        env=environment() | {"PMI_SIZE": "3", "PMI_RANK": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert "error: mpirun started 3 ranks, but each sees itself alone" in done.stdout


def test_without_an_mpi_library_what_needs_no_ranks_works(tmp_path):
    """mpi4py of a wheel looks for a library when MPI is first used; here for one that is absent."""
    other = next((abi for abi in ("mpich", "openmpi") if not loads(abi)), None)
    if other is None:
        pytest.skip("both kinds of MPI are installed")
    without = environment() | {"MPI4PY_MPIABI": other}

    def said(*arguments, status=0):
        done = subprocess.run(command(arguments), env=without, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    graph, shards = tmp_path / "g.h5", tmp_path / "shards"
    said("data", "generate", "grid", graph, "--vertices", 100)
    said("partition", graph, shards, "--shards", 2, "--method", "random")
    assert "halo" in said("inspect", shards)
    assert "macrobatch" in said("plan", shards, "--ranks", 2)
    needed = "no MPI library could be loaded"
    assert f"error: {needed}" in said("doctor", status=1)
    found = said("train", shards, "--run", tmp_path / "run", status=2)
    assert found.startswith(f"batchgnn: {needed}")
    assert "pip install 'batchgnn[mpi]'" in found
    assert not (tmp_path / "run").exists()


def loads(abi):
    look = [sys.executable, "-c", "from mpi4py import MPI"]
    return not subprocess.run(
        look, env=os.environ | {"MPI4PY_MPIABI": abi}, capture_output=True
    ).returncode


def test_too_many_threads_are_refused(tmp_path):
    shards = tmp_path / "shards"
    assert run("data", "generate", "grid", tmp_path / "g.h5", "--vertices", 100).returncode == 0
    succeed("partition", tmp_path / "g.h5", shards, "--shards", 2, "--method", "random")
    for ranks in (None, 2):
        said = refused("train", shards, "--run", tmp_path / "run", "--threads", 99, ranks=ranks)
        assert said.count("--threads 99") == 1
        assert f"has {os.cpu_count()} cores" in said
    assert not (tmp_path / "run").exists()
