"""Each kernel is compiled by one process of a machine; the others wait, then load what it made.

A process that does not find a kernel in the cache takes a lock of the machine, looks again and
compiles; whoever finds the lock taken sleeps until it is free and looks again. So the ranks of a
node compile nothing twice, on whatever path they meet a kernel first, and neither do two jobs.
"""

import contextlib
import fcntl
import functools
import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, NullCache
from numba.core.compiler_lock import global_compiler_lock

from batchgnn.base.environment import rank_from_environment

POLL_S = 0.02
LONGEST_WAIT_S = 300.0
"After which a process compiles for itself: the one that holds the lock may be stopped."
NOTICE = "batchgnn: compiling kernels for this processor, once; up to a minute."


class MachineLock:
    """A lock that processes of one user on one machine share; used under Numba's compiler lock.

    Where no lock file can be made, every process has the lock: kernels are then compiled by each.
    """

    def __init__(self) -> None:
        self.held = False
        self._file: int | None = None
        self._said = False

    def take(self) -> bool:
        """Try to take the lock, without waiting; whether this process has it."""
        self._open()
        self.held = self._file is None or _locked(self._file, fcntl.LOCK_EX)
        return self.held

    def wait(self) -> None:
        """Sleep until the holder is done, at most LONGEST_WAIT_S; then no lock is used any more."""
        self._say()
        end = time.monotonic() + LONGEST_WAIT_S
        while self._file is not None and not _locked(self._file, fcntl.LOCK_SH):
            if time.monotonic() > end:
                os.close(self._file)
                self._file = None
                return
            time.sleep(POLL_S)
        self.release()

    def release(self) -> None:
        """Let the others have it."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(self._file, fcntl.LOCK_UN)
        self.held = False

    def compiling(self) -> None:
        """This process is about to compile."""
        self._say()

    def _say(self) -> None:
        if not self._said and rank_from_environment() == 0:
            print(NOTICE, file=sys.stderr, flush=True)
        self._said = True

    @functools.cached_property
    def _path(self) -> Path:
        cache = hashlib.blake2b(str(numba.config.CACHE_DIR).encode(), digest_size=6).hexdigest()
        return Path(tempfile.gettempdir()) / f"batchgnn-{os.geteuid()}-{cache}.lock"

    def _open(self) -> None:
        if self._file is None and not self._said:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            with contextlib.suppress(OSError):
                self._file = os.open(self._path, flags, 0o600)


def _locked(file: int, kind: int) -> bool:
    """Whether flock gave the lock; a file system without locks gives it to everyone."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


LOCK = MachineLock()


class _OnceCache(FunctionCache):
    """Numba's cache of one kernel; a miss is answered under the machine's lock."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled kernel, or None when this process is the one to compile it."""
        found = self._found(sig, target_context)
        while found is None and not LOCK.held:
            mine = LOCK.take()
            found = self._found(sig, target_context)
            if found is None and not mine:
                LOCK.wait()
        if found is None:
            LOCK.compiling()
        return found

    def _found(self, sig: Any, target_context: Any) -> Any:
        """What the cache has; nothing where what it has cannot be read."""
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # whatever a damaged pickle raises
            _pass_over(error)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a kernel for other processes; on a full disk only this one has it."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _pass_over(error)


def _pass_over(error: Exception) -> None:
    """Say once, on the first rank, that the cache is of no use."""
    global _said
    if not _said and rank_from_environment() == 0:
        why = getattr(error, "strerror", None) or type(error).__name__
        print(
            f"batchgnn: the kernels' cache in {numba.config.CACHE_DIR} cannot be used ({why}): "
            "kernels are compiled for this run alone. Free some space, remove the folder, or set "
            "BATCHGNN_CACHE.",
            file=sys.stderr,
            flush=True,
        )
    _said = True


_said = False


def compiled_once(dispatcher: Any) -> Any:
    """Give a Numba function a cache that processes share, opened when it is first called.

    Without a folder that can be written it is compiled by every process, each time.
    """
    if not hasattr(dispatcher, "overloads"):
        return dispatcher  # NUMBA_DISABLE_JIT
    compile_ = dispatcher.compile

    @functools.wraps(compile_)
    def compile_or_load(sig: Any) -> Any:
        with global_compiler_lock:
            if isinstance(dispatcher._cache, NullCache):
                with contextlib.suppress(RuntimeError, OSError):
                    dispatcher._cache = _OnceCache(dispatcher.py_func)
            held = LOCK.held
            try:
                return compile_(sig)
            finally:
                if LOCK.held and not held:
                    LOCK.release()

    dispatcher.compile = compile_or_load
    return dispatcher
