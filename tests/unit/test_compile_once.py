"""Kernels are compiled once for all processes of a machine; a lost lock delays, and no more."""

import errno
import fcntl
import itertools
import json
import os
import subprocess
import sys
import time

import numba
import pytest
from commands import ROOT

from batchgnn.kernels import compile_once
from batchgnn.kernels.compile_once import LOCK, MachineLock
from batchgnn.kernels.jit import kernel

PROGRAM = """
import json, sys
import numpy as np
from numba.core import event

class Counted(event.Listener):
    names = []
    def on_start(self, event):
        self.names.append(event.data["dispatcher"].py_func.__name__)
    def on_end(self, event):
        pass

event.register("numba:compile", Counted())
from batchgnn.kernels.rng import fill_draws, stream_key

bits = np.empty(2, np.uint64)
fill_draws(np.uint64(stream_key(1, 2, 3, 4, 5)), np.arange(2, dtype=np.uint32), bits)
print(json.dumps([Counted.names, bits.tolist()]))
"""


@pytest.fixture
def lock(tmp_path, monkeypatch):
    """A lock that nothing else uses."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    lock = MachineLock()
    yield lock
    lock.release()
    lock._path.unlink(missing_ok=True)


@pytest.fixture
def other(lock):
    """The same lock in another process's hands: flock tells open files apart, not processes."""
    file = os.open(lock._path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    yield file
    os.close(file)


def start(cache):
    environment = dict(os.environ) | {"PYTHONPATH": str(ROOT), "BATCHGNN_CACHE": str(cache)}
    environment.pop("NUMBA_CACHE_DIR", None)
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, text=True
    )


def results(processes):
    """Names compiled and values computed by each process."""
    return [json.loads(process.communicate(timeout=120)[0]) for process in processes]


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_processes_that_start_together_compile_everything_once(tmp_path):
    [(names, bits)] = results([start(tmp_path / "alone")])
    assert {"fill_draws", "stream_key", "draw"} <= set(names)
    together = results([start(tmp_path / "shared") for _ in range(3)])
    assert sorted(itertools.chain(*(each[0] for each in together))) == sorted(names)
    assert [each[1] for each in together] == [bits] * 3
    assert results([start(tmp_path / "shared")]) == [[[], bits]]


def test_only_one_has_the_lock(lock, other):
    assert not lock.take()
    fcntl.flock(other, fcntl.LOCK_UN)
    lock.wait()
    assert lock.take()
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lock.release()
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_holder_that_never_ends_is_waited_for_once(lock, other, monkeypatch):
    monkeypatch.setattr(compile_once, "LONGEST_WAIT_S", 0.1)
    assert not lock.take()
    begin = time.monotonic()
    lock.wait()
    assert 0.1 <= time.monotonic() - begin < 10
    assert lock.take()


def test_without_a_place_for_the_file_everyone_has_the_lock(lock, tmp_path):
    lock._path = tmp_path / "absent" / "lock"
    assert lock.take()
    lock.release()


def test_on_a_file_system_without_locks_everyone_has_the_lock(lock, other, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    assert lock.take()
    lock.release()


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_a_compilation_that_fails_gives_the_lock_back():
    @kernel
    def wrong(x):
        return x.nothing_like_it

    with pytest.raises(numba.TypingError, match="nothing_like_it"):
        wrong(1)
    assert not LOCK.held
