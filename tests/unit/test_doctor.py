"""Each thing that can be wrong with a job is found and named, and nothing else is."""

import copy

import pytest

from batchgnn.doctor.command import SEGMENT_BYTES, diagnose, spans, table
from batchgnn.doctor.machine import facts, file_system, is_network


@pytest.fixture
def job():
    """Two nodes of four cores, each with two ranks bound to two cores: nothing is wrong."""
    mine = facts() | {
        "machine_cores": 4,
        "started_ranks": 4,
        "blas": ["openblas 0.3"],
        "cache": {"folder": "/tmp/c", "writable": True, "kernels": 3, "file_system": "ext4"},
        "shared_memory": {"total": 8 << 30, "free": 8 << 30},
        "variables": {},
        "kernel_threads": 2,
        "threads": 2,
        "layer": "omp",
    }
    mpi = {"vendor": "Open MPI", "version": "5", "library": "", "threads": "MPI_THREAD_MULTIPLE"}
    places = [("a", [0, 1]), ("a", [2, 3]), ("b", [0, 1]), ("b", [2, 3])]
    ranks = [
        copy.deepcopy(mine) | {"rank": r, "host": host, "cores": cores}
        for r, (host, cores) in enumerate(places)
    ]
    return {"mpi": mpi, "safe_layer": True, "ranks": ranks}


def found(job):
    """The one finding."""
    [finding] = diagnose(job)
    return finding.level, finding.text


def test_nothing_is_wrong_with_bound_ranks(job):
    assert list(diagnose(job)) == []


def test_one_rank_alone_has_all_cores(job):
    job["ranks"] = [job["ranks"][0] | {"cores": [0, 1, 2, 3], "threads": 4, "kernel_threads": 4}]
    assert list(diagnose(job)) == []


def test_more_threads_than_cores(job):
    for rank in job["ranks"][2:]:
        rank["cores"] = [0]
    level, text = found(job)
    assert level == "warning"
    assert "2 ranks with 4 threads in all share 1 cores of b: start 1" in text


def test_unbound_ranks(job):
    for rank in job["ranks"][:2]:
        rank["cores"] = [0, 1, 2, 3]
    level, text = found(job)
    assert level == "warning"
    assert "the ranks of a are not bound" in text
    assert "slot:PE=2" in text


def test_a_node_whose_one_rank_leaves_cores_idle(job):
    job["ranks"].pop(1)
    level, text = found(job)
    assert level == "warning"
    assert "the one rank of a uses 2 of its 4 cores: mpirun --map-by node:PE=4" in text


def test_an_mpi_without_threads(job):
    job["mpi"]["threads"] = "MPI_THREAD_FUNNELED"
    level, text = found(job)
    assert level == "warning"
    assert "MPI_THREAD_FUNNELED, so that training goes on with --no-overlap" in text


def test_an_unsafe_threading_layer(job):
    job["safe_layer"] = False
    assert "pip install tbb" in found(job)[1]


def test_a_cache_that_cannot_be_written(job):
    for rank in job["ranks"][2:]:
        rank["cache"]["writable"] = False
    assert found(job)[1].startswith("/tmp/c cannot be written on b")


def test_a_cache_on_the_network(job):
    for rank in job["ranks"][:2]:
        rank["cache"]["file_system"] = "nfs4"
    assert "cache of a is on a network file system (nfs4)" in found(job)[1]


def test_little_shared_memory(job):
    job["ranks"][2]["shared_memory"]["free"] = 2 * SEGMENT_BYTES - 1
    level, text = found(job)
    assert level == "error"
    assert "/dev/shm of b has 32.0 MiB free and 2 ranks" in text
    job["mpi"]["vendor"] = "MPICH"
    assert list(diagnose(job)) == []


def test_other_versions_on_a_node(job):
    job["ranks"][3]["versions"]["numba"] = "0.1"
    level, text = found(job)
    assert level == "error"
    assert "b has numba 0.1 where others have" in text


def test_variables_that_do_not_count(job):
    job["ranks"][0]["variables"]["OMP_NUM_THREADS"] = "2"
    assert list(diagnose(job)) == []
    job["ranks"][0]["variables"]["OMP_NUM_THREADS"] = "8"
    assert "OMP_NUM_THREADS=8 does not count" in found(job)[1]


def test_numba_held_to_fewer_threads(job):
    job["ranks"][0]["kernel_threads"] = 1
    assert "holds kernels to 1 of 2 threads" in found(job)[1]


def test_an_unknown_blas(job):
    job["ranks"][0]["blas"] = []
    assert "BLAS" in found(job)[1]


def test_the_table_has_a_line_for_each_rank(job):
    lines = table(job)
    assert [line.split()[:3] for line in lines[-4:-2]] == [
        ["rank", "0", "a,"],
        ["rank", "1", "a,"],
    ]
    assert lines[-1].endswith("cores: 2-3 of 4")


def test_spans_join_runs():
    assert spans([0, 1, 2, 5, 7, 8]) == "0-2 5 7-8"
    assert spans([]) == ""


def test_file_systems(tmp_path):
    assert file_system(tmp_path) not in ("", "proc")
    assert not is_network(file_system(tmp_path))
    assert all(map(is_network, ["nfs", "nfs4", "lustre", "fuse.sshfs", "beegfs_nodev"]))
    assert not any(map(is_network, ["ext4", "xfs", "tmpfs", "overlay", "btrfs"]))
