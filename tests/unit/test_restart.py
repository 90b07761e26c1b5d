"""What is started again after a loss, and what is not."""

from pathlib import Path

import pytest

from batchgnn.base.errors import ConfigError
from batchgnn.launch import restart
from batchgnn.launch.local import Ended
from batchgnn.launch.mpirun import Flavour, Mpirun, Placement, mpirun_argv

MPIRUN, FOUR = Mpirun("/m", Flavour.OPENMPI5), Placement(4, 1, bind=False)


def test_hosts_are_read():
    assert restart.parse_hosts("n1:2,n2,n3:16") == {"n1": 2, "n2": 1, "n3": 16}


@pytest.mark.parametrize("text", ["", "n1,", "n1:0", "n1:x", "n1:2,n1:2", ":2"])
def test_hosts_that_are_none_are_refused(text):
    with pytest.raises(ConfigError, match="write HOST:RANKS"):
        restart.parse_hosts(text)


@pytest.mark.parametrize("words", [["--run", "/r"], ["--run=/r"]])
def test_the_run_folder_is_found(words):
    assert restart.run_folder_of(["train", "/s", *words, "--epochs", "2"]) == Path("/r")


@pytest.mark.parametrize(
    "command", [["evaluate", "/r"], ["train", "/s"], ["train", "/s", "--run"], []]
)
def test_what_has_no_checkpoints_is_refused(command):
    with pytest.raises(ConfigError, match="--max-restarts is for train"):
        restart.run_folder_of(command)


@pytest.fixture
def starts(monkeypatch, tmp_path):
    """Runs the launcher with ends that are given; (ranks, command) of each start."""
    monkeypatch.setattr(restart, "PAUSE_S", 0.0)
    command = ["train", "/s", "--run", str(tmp_path / "run")]

    def launch(*ends, hosts=None, gone=(), max_restarts=2):
        left, seen = list(ends), []

        def run(mpirun, placement, line, hosts, *, tells_success):
            assert tells_success
            seen.append((placement.ranks, line[1:], hosts))
            (tmp_path / "run").mkdir(exist_ok=True)
            (tmp_path / "run" / "config.toml").touch()
            return left.pop(0)

        monkeypatch.setattr(restart, "run", run)
        monkeypatch.setattr(restart, "lost_hosts", lambda _, hosts: [h for h in hosts if h in gone])
        ended = restart.run_restarting(
            MPIRUN, FOUR, ["batchgnn"], command, hosts=hosts, max_restarts=max_restarts
        )
        return ended, seen

    launch.command = command
    return launch


def test_a_lost_job_goes_on_from_its_checkpoint(starts, capsys):
    ended, seen = starts(Ended(137), Ended(1), Ended(0))
    assert ended.status == 0
    command = starts.command
    again = [*command, "--resume"]
    assert seen == [(4, command, None), (4, again, None), (4, again, None)]
    assert "(status 137); restart 1 of 2, on 4 ranks" in capsys.readouterr().err


def test_not_more_often_than_told(starts):
    ended, seen = starts(Ended(137), Ended(137), Ended(0), max_restarts=1)
    assert (ended.status, len(seen)) == (137, 2)


@pytest.mark.parametrize("end", [Ended(2), Ended(143), Ended(138, was_told=True)])
def test_a_users_error_and_an_end_by_request_are_final(starts, end):
    ended, seen = starts(end)
    assert (ended, len(seen)) == (end, 1)


def test_hosts_that_are_gone_are_left_out(starts, capsys):
    hosts = {"n1": 1, "n2": 2, "n3": 1}
    lost = Ended(1, "A host is gone.", hosts=("n1.cluster", "n2.cluster", "n2.cluster", "n3"))
    ended, seen = starts(lost, Ended(0), hosts=hosts, gone=["n2"])
    assert ended.status == 0
    assert [(ranks, where) for ranks, _, where in seen] == [
        (4, hosts),
        (2, {"n1": 1, "n3": 1}),
    ]
    said = capsys.readouterr().err
    assert said.startswith("A host is gone.\n")
    assert "without n2 (ranks 1, 2), on 2 ranks" in said


@pytest.mark.parametrize(
    ("failures", "lost"), [(0, []), (1, []), (2, ["n1"])], ids=["at once", "second", "never"]
)
def test_a_host_that_does_not_start_a_process_at_once_is_asked_again(
    failures, lost, tmp_path, monkeypatch
):
    monkeypatch.setattr(restart, "PAUSE_S", 0.0)
    calls, program = tmp_path / "calls", tmp_path / "mpirun"
    program.write_text(f"#!/bin/bash\necho x >> {calls}\n[ $(wc -l < {calls}) -gt {failures} ]\n")
    program.chmod(0o755)
    mpirun = Mpirun(str(program), Flavour.OPENMPI5)
    assert restart.lost_hosts(mpirun, {"n1": 1}) == lost
    assert len(calls.read_text().split()) == min(failures + 1, restart.ATTEMPTS)


def test_without_any_host_it_ends(starts):
    ended, seen = starts(Ended(9), hosts={"n1": 4}, gone=["n1"])
    assert (ended.status, len(seen)) == (9, 1)


@pytest.mark.parametrize(
    ("flavour", "option"), [(Flavour.OPENMPI4, "--host"), (Flavour.MPICH, "-hosts")]
)
def test_each_mpirun_is_told_the_hosts(flavour, option):
    argv = mpirun_argv(Mpirun("/m", flavour), FOUR, ["x"], hosts={"n1": 2, "n2": 2})
    assert argv[:5] == ["/m", "-n", "4", option, "n1:2,n2:2"]
