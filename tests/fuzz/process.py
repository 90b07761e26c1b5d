"""Commands run in a worker process, which is started again only when it dies or takes too long."""

import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT_S = 180
"Of a command: the first may have to compile kernels, on a machine that others use too."


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    status  of the shell; None when it had to be killed, below 0 when a signal ended it
    """

    status: int | None
    out: str
    err: str


class Worker:
    """The command line `batchgnn ...`, in one process for many commands."""

    def __init__(self, said: Path, limit_s: float = LIMIT_S):
        """said: an empty folder, for what is printed; limit_s: of one command."""
        self.said, self.limit_s = said, limit_s
        self.process: subprocess.Popen | None = None
        self.num_started = 0

    def run(self, *argv: object) -> Ended:
        """Run `batchgnn ARGV` to its end, whatever that is."""
        process = self._started()
        process.stdin.write(json.dumps([str(word) for word in argv]) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], self.limit_s)
        answer = process.stdout.readline() if ready else None
        if answer:
            status = int(json.loads(answer))
        else:
            status = self._killed() if answer is None else process.wait()
            self.close()
        return Ended(status, *(self._read(name) for name in ("out", "err")))

    def _started(self) -> subprocess.Popen:
        if self.process is None:
            paths = [str(ROOT), str(ROOT / "tests")]
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fuzz.worker", self.said],
                env=dict(os.environ) | {"PYTHONPATH": ":".join(paths), "NUMBA_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            self.num_started += 1
        return self.process

    def _killed(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def _read(self, name: str) -> str:
        path = self.said / name
        return path.read_bytes().decode(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self._killed()
            self.process.stdout.close()
            self.process = None
