"""Ctrl-C within a call of C that holds Python's lock for minutes, as METIS does.

Python's own handler waits for the end of the call. This one is machine code that needs no Python.
"""

import contextlib
import ctypes
import signal
from collections.abc import Iterator

from numba import cfunc

SAID = b"batchgnn: interrupted: it has ended, and nothing is written.\n"
STDERR, STATUS = 2, 128 + signal.SIGINT


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """SIGINT prints a sentence and ends the process with status 130; nothing is cleared away.

    Where SIGINT is ignored, as in a job in the background, it stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    libc, text = ctypes.CDLL(None), ctypes.create_string_buffer(SAID)
    write, leave, address = libc.write, libc._exit, ctypes.addressof(text)
    write.argtypes, write.restype = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64), ctypes.c_int64
    leave.argtypes, leave.restype = (ctypes.c_int,), None

    @cfunc("void(int32)")
    def end(number: int) -> None:
        write(STDERR, address, len(SAID))  # both may be called by a handler of signals
        leave(STATUS)

    libc.signal.argtypes, libc.signal.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    before = libc.signal(signal.SIGINT, end.address)
    try:
        yield
    finally:
        libc.signal(signal.SIGINT, before)
