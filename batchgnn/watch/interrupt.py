"""Signals that ask a run to stop: noted at once, acted upon when all ranks have agreed.

    SIGUSR1            the time is nearly up: save, end with status 0, be started again
    SIGTERM, SIGUSR2   save and end with status 143. Launchers end a job on SIGTERM; they pass
                       SIGUSR2 on and wait
    SIGINT (Ctrl-C)    save and end with status 130
    a second signal    this process ends at once, and with it the job

Python runs handlers between two of its own instructions, so not while a rank waits inside MPI for a
rank that is gone. Here the C handler writes the signal's number to a pipe, and a thread reads it.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

from batchgnn.base.environment import command_to_resume, rank_from_environment
from batchgnn.base.errors import Stopped

REQUEUE, END = 0, 1
"Places of the two requests in `asked()`."

REQUESTS = {
    signal.SIGUSR1: REQUEUE,
    signal.SIGTERM: END,
    signal.SIGUSR2: END,
    signal.SIGINT: END,
}
SAME_S = 0.5
"A signal that comes again within this time came to the process on two ways."

_asked = [0, 0]
_numbers: set[int] = set()
_early: list[int] = []


def asked() -> tuple[int, int]:
    """Whether this process was asked (to be requeued, to end): 0 or 1 each."""
    return _asked[REQUEUE], _asked[END]


def stopped(requeue: float, end: float, where: str) -> Stopped | None:
    """What to raise on all ranks for the sum of `asked()` over them; None: go on.

    where: how far training is, for the message
    """
    if not (requeue or end):
        return None
    said = "was told to end" if end else "will be started again"
    error = Stopped(
        f"the run {said}: its state {where} is saved. Go on with: {command_to_resume()}"
    )
    error.requeue = not end
    return error


@contextlib.contextmanager
def kept_for_later() -> Iterator[None]:
    """A SIGUSR1 that comes before anybody listens waits in `early`, and does not end the process.

    For the beginning of a command, which loads for seconds; call it from the main thread.
    """
    before = signal.signal(signal.SIGUSR1, lambda number, _: _early.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)
        _early.clear()


def early() -> list[int]:
    """The signals that have waited; they do so no more."""
    numbers, _early[:] = _early[:], []
    return numbers


@contextlib.contextmanager
def ctrl_c_kept() -> Iterator[None]:
    """Ctrl-C ends the block with KeyboardInterrupt, whatever a library makes of it on the way.

    One that calls Python from C may lose that exception and raise one of its own, as h5py does
    within the conversion of a string. Where SIGINT is ignored or handled it stays so.
    """
    before, pressed = signal.getsignal(signal.SIGINT), []

    def note(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        signal.default_int_handler(number, frame)

    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, note)
    try:
        yield
    except Exception as error:
        if pressed:
            raise KeyboardInterrupt from error
        raise
    finally:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Note the signals for the time of the block; call it from the main thread.

    A signal that is ignored, as SIGINT in a script's background, stays so. Which one came gives a
    `Stopped` its status at the end of the block: another rank's may have come first.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)
    _asked[:] = [0, 0]
    _numbers.clear()
    heard = [number for number in REQUESTS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda *_: None) for number in heard}
    fd_before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    thread = threading.Thread(target=_note, args=(read,), name="signals", daemon=True)
    thread.start()
    os.write(write, bytes(early()))
    try:
        yield
    except Stopped as error:
        by = signal.SIGINT if signal.SIGINT in _numbers else signal.SIGTERM
        error.exit_status = 0 if error.requeue else 128 + by
        raise
    finally:
        signal.set_wakeup_fd(fd_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(write)
        thread.join()
        os.close(read)


def _note(read: int) -> None:
    """Read numbers of signals until the pipe is closed; of the second, end this process."""
    last, last_s = 0, -SAME_S
    while numbers := os.read(read, 1):
        number, now = numbers[0], time.monotonic()
        if number not in REQUESTS or (number == last and now - last_s < SAME_S):
            continue
        if any(_asked):
            _end_at_once(number)
        _asked[REQUESTS[signal.Signals(number)]] = 1
        _numbers.add(number)
        last, last_s = number, now
        if rank_from_environment() == 0:
            _say("a signal: the run saves its state after this step; a second ends it at once.")


def _end_at_once(number: int) -> None:
    name = signal.Signals(number).name
    where = f"rank {rank_from_environment()} on {socket.gethostname()}"
    _say(f"{where} had a second signal, {name}, and ends at once.")
    os._exit(128 + number)


def _say(text: str) -> None:
    sys.stderr.write(f"batchgnn: {text}\n")
    sys.stderr.flush()
