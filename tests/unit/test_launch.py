"""Command lines and environments of each MPI, word for word; what mpirun's messages mean."""

import json

import pytest

from batchgnn.base.environment import HOSTS, size_from_environment
from batchgnn.base.errors import ConfigError
from batchgnn.launch.mpirun import (
    Flavour,
    Mpirun,
    Placement,
    drops_lost_ranks,
    find_mpirun,
    flavour_of,
    job_environment,
    mpirun_argv,
    place,
)
from batchgnn.launch.notice import (
    Killed,
    aborted_with,
    crashed_with,
    killed_in,
    last_calls,
    with_rank,
    without_complaints,
    without_notices,
)

RULE = "-" * 74 + "\n"
PASSED_ON = (
    "-x NUMBA_NUM_THREADS -x OMP_NUM_THREADS -x OPENBLAS_NUM_THREADS -x MKL_NUM_THREADS "
    "-x BATCHGNN_LAUNCH"
)
ONE_THREAD = {
    "NUMBA_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "BATCHGNN_LAUNCH": "job",
}
ROOT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_ALLOW_RUN_AS_ROOT": "1",
    "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
}


@pytest.mark.parametrize(
    ("version", "flavour"),
    [
        ("mpirun (Open MPI) 5.0.11\n\nReport bugs to ...", Flavour.OPENMPI5),
        ("mpirun (Open MPI) 4.1.4\n\nReport bugs to ...", Flavour.OPENMPI4),
        ("mpiexec (OpenRTE) 4.1.4\n\nReport bugs to ...", Flavour.OPENMPI4),
        ("HYDRA build details:\n    Version:    4.0.2\n", Flavour.MPICH),
        ("Some other launcher 1.0", None),
    ],
)
def test_the_flavour_is_known_by_its_version_text(version, flavour):
    assert flavour_of(version) is flavour


@pytest.mark.parametrize(
    ("flavour", "bind", "expected"),
    [
        (Flavour.OPENMPI5, True, f"/m -n 4 --bind-to core --map-by slot:PE=2 {PASSED_ON} batchgnn"),
        (Flavour.OPENMPI4, True, f"/m -n 4 --bind-to core --map-by slot:PE=2 {PASSED_ON} batchgnn"),
        (Flavour.OPENMPI5, False, f"/m -n 4 --bind-to none {PASSED_ON} batchgnn"),
        (Flavour.MPICH, True, "/m -n 4 -bind-to core:2 batchgnn"),
        (Flavour.MPICH, False, "/m -n 4 batchgnn"),
    ],
)
def test_command_lines(flavour, bind, expected):
    argv = mpirun_argv(Mpirun("/m", flavour), Placement(4, 2, bind), ["batchgnn"])
    assert " ".join(argv) == expected


@pytest.mark.parametrize("option", [["--on-loss", "drop"], ["--on-loss=drop"]])
def test_open_mpi_is_told_that_ranks_go_on_without_lost_ones(option):
    command = ["batchgnn", "train", "shards", *option]
    assert drops_lost_ranks(command)
    assert not drops_lost_ranks([*command[:3], "--on-loss", "abort"])
    for flavour, is_told in ((Flavour.OPENMPI5, True), (Flavour.MPICH, False)):
        argv = mpirun_argv(Mpirun("/m", flavour), Placement(4, 2, True), command, survives=True)
        assert ("--with-ft" in argv) == is_told


def test_open_mpis_complaints_about_a_lost_rank_are_not_shown():
    complaint = "NBC_Progress: an error 75 was found during schedule 0x5 at row-offset 0 - ...\n"
    lines = ["epoch 1\n", complaint, "\n", complaint, "\n", "\n", "epoch 2\n"]
    assert list(without_complaints(lines)) == ["epoch 1\n", "\n", "epoch 2\n"]


@pytest.mark.parametrize(
    ("flavour", "bind", "user_id", "extra"),
    [
        (Flavour.OPENMPI5, True, 1000, {}),
        (Flavour.OPENMPI5, True, 0, ROOT),
        (Flavour.OPENMPI5, False, 1000, {
            "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
            "OMPI_MCA_mpi_yield_when_idle": "1",
        }),
        (Flavour.OPENMPI4, False, 1000, {
            "OMPI_MCA_rmaps_base_oversubscribe": "1",
            "OMPI_MCA_mpi_yield_when_idle": "1",
        }),
        (Flavour.MPICH, False, 0, {}),
    ],
)  # fmt: skip
def test_environments(flavour, bind, user_id, extra):
    added = job_environment(Mpirun("/m", flavour), Placement(2, 1, bind), user_id, "job")
    assert added == ONE_THREAD | extra


@pytest.mark.parametrize(
    ("ranks", "threads", "cores", "elsewhere", "expected"),
    [
        (2, None, 8, False, Placement(2, 4, bind=True)),
        (3, None, 8, False, Placement(3, 2, bind=True)),
        (4, None, 2, False, Placement(4, 1, bind=False)),
        (2, 2, 2, False, Placement(2, 2, bind=False)),
        (64, 16, 2, True, Placement(64, 16, bind=True)),
        (64, None, 2, True, Placement(64, 1, bind=True)),
    ],
)
def test_ranks_are_bound_when_the_cores_suffice(ranks, threads, cores, elsewhere, expected):
    assert place(ranks, threads, cores, elsewhere=elsewhere) == expected


def test_the_mpirun_beside_this_python_comes_first(tmp_path, monkeypatch):
    for folder, version in [("env/bin", "(Open MPI) 5.0.1"), ("system", "HYDRA 4.0")]:
        program = tmp_path / folder / "mpirun"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\necho '{version}'\n")
        program.chmod(0o755)
    monkeypatch.setattr("sys.prefix", str(tmp_path / "env"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'system'}:/bin:/usr/bin")
    assert find_mpirun() == Mpirun(str(tmp_path / "env/bin/mpirun"), Flavour.OPENMPI5)
    (tmp_path / "env/bin/mpirun").unlink()
    assert find_mpirun() == Mpirun(str(tmp_path / "system/mpirun"), Flavour.MPICH)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"pip install 'batchgnn\[mpi\]'"):
        find_mpirun()


def test_an_unknown_launcher_is_refused_with_its_own_words(tmp_path):
    program = tmp_path / "mpirun"
    program.write_text("#!/bin/sh\necho 'Launcher of another kind 3'\n")
    program.chmod(0o755)
    with pytest.raises(ConfigError, match='calls itself "Launcher of another kind 3"'):
        find_mpirun(str(program))
    with pytest.raises(ConfigError, match="no such program"):
        find_mpirun(str(tmp_path / "missing"))


OPENMPI5_KILLED = (
    RULE + "prterun noticed that process rank 1 with PID 4711 on node n07 exited on\n"
    "signal 9 (Killed).\n" + RULE
)
OPENMPI4_KILLED = (
    RULE + "mpirun noticed that process rank 3 with PID 0 on node n07 exited on signal 11 "
    "(Segmentation fault).\n" + RULE
)
MPICH_RULE = "=" * 83 + "\n"
MPICH_KILLED = (
    "\n" + MPICH_RULE + "=   BAD TERMINATION OF ONE OF YOUR APPLICATION PROCESSES\n"
    "=   PID 16052 RUNNING AT n07\n=   EXIT CODE: 9\n=   CLEANING UP REMAINING PROCESSES\n"
    "=   YOU CAN IGNORE THE BELOW CLEANUP MESSAGES\n" + MPICH_RULE
    + "YOUR APPLICATION TERMINATED WITH THE EXIT STRING: Killed (signal 9)\n"
    "This typically refers to a problem with your application.\n"
)  # fmt: skip


OPENMPI5_PEER_GONE = f"""{RULE}An MPI communication peer process has unexpectedly disconnected.
This usually indicates a failure in the peer process (e.g., a crash or
otherwise exiting without calling MPI_FINALIZE first).

  Local host: n1
  Local PID:  5980
  Peer host:  n3
{RULE}"""


@pytest.mark.parametrize(
    ("text", "killed"),
    [
        (OPENMPI5_KILLED, Killed(9, 1, "n07")),
        (OPENMPI4_KILLED, Killed(11, 3, "n07")),
        (MPICH_KILLED, Killed(9, None, "n07")),
        (OPENMPI5_PEER_GONE, Killed(None, None, "n3")),
        ("nothing of the kind", None),
    ],
)
def test_the_killed_rank_is_found(text, killed):
    notices = []
    left = list(without_notices(text.splitlines(keepends=True), notices))
    assert killed_in("".join(notices)) == killed
    if killed:
        assert "".join(left).strip() == ""


def test_a_killed_rank_is_said_in_one_sentence():
    assert Killed(9, 1, "n07").sentence() == (
        "batchgnn: rank 1 on n07 was ended by SIGKILL (often the kernel, out of memory); all ranks "
        "have ended."
    )


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        (["n1", "n2", "n3"], "rank 2 on n3 is gone"),
        (["n1.cluster", "n3.cluster"], "rank 1 on n3 is gone"),
        (["n3", "n2", "n3"], "rank 0 or 2 on n3 is gone"),
        (["n1"], "a rank on n3 is gone"),
        (["n3"] * 9, "a rank on n3 is gone"),
        (None, "a rank on n3 is gone"),
    ],
)
def test_the_rank_is_known_by_its_host(hosts, said, tmp_path):
    if hosts:
        (tmp_path / HOSTS).write_text(json.dumps(hosts))
    assert f"batchgnn: {said}" in with_rank(Killed(None, None, "n3"), tmp_path).sentence()
    assert with_rank(Killed(9, 5, "n3"), tmp_path) == Killed(9, 5, "n3")


@pytest.mark.parametrize(
    ("variables", "size"),
    [
        ({}, 1),
        ({"OMPI_COMM_WORLD_SIZE": "4", "PMIX_RANK": "0", "SLURM_STEP_NUM_TASKS": "2"}, 4),
        ({"PMI_SIZE": "3"}, 3),
        ({"PMIX_RANK": "0", "SLURM_STEP_NUM_TASKS": "2"}, 2),
        ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2"}, 1),
    ],
    ids=["alone", "Open MPI", "MPICH", "srun --mpi=pmix", "srun without MPI"],
)
def test_how_many_ranks_were_started(variables, size, monkeypatch):
    for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert size_from_environment() == size


def test_a_rank_that_crashes_says_so_itself():
    assert crashed_with("[n3:11870] Signal: Bus error (7)\n") == Killed(7, host="n3")
    assert crashed_with("[n3:11870] Signal code: Non-existent physical address (2)\n") is None


def test_where_the_killed_rank_was_is_said_else_where_the_first_was(tmp_path):
    assert last_calls(tmp_path, Killed(9, 1, "n07")) == last_calls(tmp_path / "gone", None) == ""
    for rank, text in ((0, b"at collective 4, rows"), (1, b"at collective 3, ids"), (2, b"")):
        (tmp_path / str(rank)).write_bytes(text.ljust(64) if text else bytes(64))
    said = " Rank {} was last seen at collective {}."
    assert last_calls(tmp_path, Killed(9, 1, "n07")) == said.format(1, "3, ids")
    for killed in (Killed(9, 2, "n07"), Killed(9, None, "n07"), None):
        assert last_calls(tmp_path, killed) == said.format(0, "4, rows")


def test_boxes_of_others_and_all_else_pass():
    lines = ["one\n", RULE, "a table of mine\n", RULE, "two\n", RULE, *["long\n"] * 40, "three\n"]
    notices = []
    assert list(without_notices(lines, notices)) == lines
    assert notices == []


def test_mpichs_word_about_an_abort_has_its_status():
    where = "Abort(7) on node 1 (rank 1 in comm 496)"
    said = f"{where}: application called MPI_Abort(comm=0x84000001, 7) - process 1\n"
    assert aborted_with(said) == 7
    assert aborted_with("batchgnn: rank 1 failed; all ranks are ended.") is None
