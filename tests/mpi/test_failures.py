"""One rank fails: the job ends soon, with the right status and a message that names the rank."""

import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from mpi.ranks import HERE, ROOT, run_on_ranks

PROGRAM = HERE / "programs" / "fail.py"


def fail(how, num_ranks=3):
    return run_on_ranks(num_ranks, [PROGRAM, how], timeout_s=200)


def test_an_exception_on_one_rank_ends_all_with_its_traceback():
    done = fail("exception")
    assert done.status == 1, done.output
    assert "rank 1 on " in done.output
    assert "KeyError: 'a fault of rank 1'" in done.output
    assert done.seconds < 15


def test_an_exception_in_a_thread_ends_all():
    done = fail("thread_exception")
    assert done.status == 1, done.output
    assert "KeyError: 'a fault in a thread'" in done.output
    assert done.seconds < 15


def test_a_user_error_on_one_rank_ends_all_without_traceback():
    done = fail("user_error")
    assert done.status == 2, done.output
    assert "this rank has no shards\n  before the first collective" in done.output
    assert "Traceback" not in done.output


def test_a_fault_in_fail_together_names_rank_and_keeps_the_traceback():
    done = fail("fault_together")
    assert done.status == 1, done.output
    said = r"opening failed on 1 of 3 ranks; at collective 1, agreement \(opening\)\n  rank 1 \("
    assert re.search(said, done.output), done.output
    assert "): KeyError: 'a fault of rank 1'" in done.output


def test_a_stopped_rank_is_named():
    done = fail("stopped")
    assert done.status == 1, done.output
    assert "rank 1 (host " in done.output
    assert "does not answer" in done.output
    assert done.output.count("has waited") == 1
    assert done.seconds < 30


def test_a_late_rank_is_named_with_collective_and_step():
    done = fail("late")
    assert done.status == 1, done.output
    assert "in collective 2 of its main thread: meeting epoch 3 step 17" in done.output
    assert "has not arrived; it has left collective 1, meeting" in done.output
    assert "rank 2 (" not in done.output


def test_a_rank_late_in_its_background_thread_is_named():
    done = fail("late_in_thread")
    assert done.status == 1, done.output
    assert "of its background thread: fetch rows" in done.output
    assert "it has entered no collective yet" in done.output


def test_a_rank_stopped_in_a_group_is_named_and_the_other_group_is_not():
    done = fail("stopped_in_a_group", 4)
    assert done.status == 1, done.output
    said = r"rank 1 has waited \d+ s in collective 2 of ranks 1, 3 of its main thread: meeting"
    assert re.search(said, done.output), done.output
    assert re.findall(r"rank (\d) \(host", done.output) == ["3"]
    assert "does not answer" in done.output


def test_after_groups_that_met_more_or_less_often_only_the_late_rank_is_named():
    done = fail("late_after_groups", 4)
    assert done.status == 1, done.output
    assert "in collective 1 of its main thread: meeting" in done.output
    assert re.findall(r"rank (\d) \(host", done.output) == ["1"]
    assert "has not arrived; it has left collective 5 of ranks 0, 1, meeting" in done.output


def test_a_killed_rank_ends_the_job_within_ten_seconds():
    done = fail("killed")
    assert done.status == 128 + signal.SIGKILL, done.output
    assert "ended by SIGKILL" in done.output
    assert "Rank 1 was last seen at collective 1, meeting." in done.output
    assert done.seconds < 10


def test_a_status_passes_through():
    assert fail("status", 1).status == 7


def test_a_user_error_of_a_command_is_printed_once():
    done = run_on_ranks(3, ["-m", "batchgnn", "evaluate", "/no/such/run"], timeout_s=200)
    assert done.status == 2, done.output
    assert done.output.count("config.toml is missing") == 1
    assert "Traceback" not in done.output
    assert "mpirun" not in done.output
    assert "prterun" not in done.output


def has_ended(process):
    """Also when its new parent has not collected its status yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def hears_ctrl_c():
    """Also where the tests run in a script's background, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Launched:
    """A program on two ranks, its output read as it comes."""

    def __init__(self, how):
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "launched.py"), "2", str(PROGRAM), how],
            env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=hears_ctrl_c,
        )
        for _ in range(2):
            assert "is ready" in self.process.stdout.readline()
        self.all = psutil.Process(self.process.pid).children(recursive=True)
        assert len(self.all) >= 3

    def ended(self, within_s):
        """Exit status; asserts that no process of the job is left."""
        status = self.process.wait(within_s)
        _, left = psutil.wait_procs(self.all, timeout=15)
        assert [p for p in left if not has_ended(p)] == []
        return status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_launcher_ends_everything(number):
    job = Launched("asleep")
    job.process.send_signal(number)
    assert job.ended(25) == 128 + number
    job.process.stdout.close()


def test_usr1_reaches_every_rank():
    job = Launched("signalled")
    time.sleep(0.3)
    job.process.send_signal(signal.SIGUSR1)
    assert sorted(job.process.stdout) == ["rank 0 was signalled\n", "rank 1 was signalled\n"]
    assert job.ended(25) == 0
    job.process.stdout.close()


def test_a_killed_launcher_leaves_no_orphans():
    job = Launched("asleep")
    job.process.kill()
    assert job.ended(25) == -signal.SIGKILL
    job.process.stdout.close()


def test_an_mpirun_of_another_mpi_is_refused():
    environment = dict(os.environ) | {"PYTHONPATH": str(ROOT), "PMI_SIZE": "4", "PMI_RANK": "0"}
    program = "from batchgnn.comm.grid import start\nstart()"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert "mpirun started 4 ranks, but each sees itself alone: mpi4py uses" in done.stderr
