"""The lock of a run folder: one holder, whoever starts when; what was left is taken over."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from batchgnn.base.errors import StoreError
from batchgnn.run import lock
from batchgnn.run.folder import RunFolder
from batchgnn.run.lock import RunLock, holder_here
from batchgnn.run.run_state import LOCK


@pytest.fixture
def quick(monkeypatch):
    """Locks that are touched and watched in less time."""
    monkeypatch.setattr(lock, "BEAT_S", 0.02)
    monkeypatch.setattr(lock, "WATCHED_S", 0.3)


def left_in(run, **values):
    """A lock as a job of another machine left it."""
    holder = {**holder_here(), "host": "n7", "machine": "another", "slurm_job": "12_3"} | values
    (run / LOCK).write_text(json.dumps({**holder, "started": 1.8e9}))


def ended_process():
    """The id of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_second_job_is_told_who_trains_and_since_when(tmp_path):
    with RunLock(tmp_path) as first, RunLock(tmp_path) as second:
        first.take()
        with pytest.raises(
            StoreError, match=rf"by process {os.getpid()} on host .*, since 20"
        ) as e:
            second.take()
        assert f"batchgnn cancel {tmp_path}" in str(e.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("again", range(20))
def test_of_many_that_start_at_once_one_has_it(tmp_path, again):
    held, refused = [], []

    def start(mine):
        try:
            mine.take()
            held.append(mine)
        except StoreError:
            refused.append(mine)

    left_in(tmp_path, machine=holder_here()["machine"], pid=ended_process())
    locks = [RunLock(tmp_path) for _ in range(8)]
    threads = [threading.Thread(target=start, args=(each,)) for each in locks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 7)
    held[0].__exit__(None, None, None)


def test_the_lock_of_a_process_that_ended_here_is_taken_at_once(tmp_path):
    left_in(tmp_path, machine=holder_here()["machine"], pid=ended_process())
    begin = time.monotonic()
    with RunLock(tmp_path) as mine:
        mine.take()
    assert time.monotonic() - begin < lock.WATCHED_S / 2


def test_a_lock_of_another_machine_that_is_touched_is_kept(tmp_path, quick):
    left_in(tmp_path)
    ended = threading.Event()

    def touch():
        while not ended.wait(0.02):
            os.utime(tmp_path / LOCK)

    thread = threading.Thread(target=touch)
    thread.start()
    with RunLock(tmp_path) as mine, pytest.raises(StoreError, match="host n7, Slurm job 12_3, sin"):
        mine.take()
    ended.set()
    thread.join()


def test_a_process_with_the_id_but_another_start_is_not_trusted_while_the_lock_is_touched(
    tmp_path, quick
):
    """As when the clock of this machine was set."""
    with RunLock(tmp_path) as first, RunLock(tmp_path) as second:
        first.take()
        first.mine["pid_started"] += 3600
        (tmp_path / LOCK).write_text(json.dumps(first.mine))
        with pytest.raises(StoreError, match=f"by process {os.getpid()} "):
            second.take()


def test_of_a_killed_takers_claim_two_waiters_remove_no_other(tmp_path, quick):
    claim, other = tmp_path / "claim", tmp_path / "other"
    claim.touch()
    waiter = threading.Thread(target=lock._wait_for_end_of, args=(claim,))
    waiter.start()
    time.sleep(lock.WATCHED_S / 2)
    other.touch()
    other.rename(claim)  # a waiter that began before removed it, and claims itself
    waiter.join()
    assert claim.exists()
    lock._wait_for_end_of(claim)
    assert not claim.exists()


def test_a_link_to_nothing_is_no_lock(tmp_path, quick):
    (tmp_path / LOCK).symlink_to(tmp_path / "nothing")
    with RunLock(tmp_path) as mine:
        mine.take()
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("text", [None, "", "{}", "[1]", "\x00"])
def test_a_lock_that_nobody_touches_is_taken_over_whatever_is_in_it(tmp_path, quick, text):
    left_in(tmp_path)
    if text is not None:
        (tmp_path / LOCK).write_text(text)
    with RunLock(tmp_path) as mine:
        mine.take()
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


def test_the_holder_touches_its_lock(tmp_path, quick):
    with RunLock(tmp_path) as mine:
        mine.take()
        before = (tmp_path / LOCK).stat().st_mtime_ns
        end = time.monotonic() + 10
        while (tmp_path / LOCK).stat().st_mtime_ns == before:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_job_whose_lock_was_taken_over_writes_no_more(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with folder.lock:
        folder.begin(resume=False)
        folder.append_metrics({"epoch": 1})
        left_in(folder.path)
        with pytest.raises(StoreError, match=r"was taken over by process \d+ on host n7"):
            folder.append_metrics({"epoch": 2})
    assert (folder.path / LOCK).exists()


def test_a_file_system_without_hard_links_has_locks_too(tmp_path, monkeypatch):
    def link(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with RunLock(tmp_path) as first, RunLock(tmp_path) as second:
        first.take()
        with pytest.raises(StoreError, match="is being trained"):
            second.take()


def test_a_folder_that_was_made_for_nothing_is_removed(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with folder.lock:
        folder.begin(resume=False)
    assert not folder.path.exists()


PLACES = {
    "in a file": ("file/run", "a part of the path is a file, not a folder"),
    "file": ("file", "a part of the path is a file, not a folder"),
    "long": ("x" * 300, "the name is too long"),
}


@pytest.mark.parametrize(("path", "said"), PLACES.values(), ids=PLACES)
def test_what_cannot_be_a_run_folder_is_said_in_a_sentence(tmp_path, path, said):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=said):
        RunFolder(tmp_path / path).begin(resume=False)
