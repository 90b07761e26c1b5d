"""`python launched.py P ARGV...`: run `python ARGV` on P unbound ranks of one thread."""

import sys

from batchgnn.launch.local import run
from batchgnn.launch.mpirun import Placement, find_mpirun

if __name__ == "__main__":
    ended = run(
        find_mpirun(),
        Placement(int(sys.argv[1]), threads=1, bind=False),
        [sys.executable, *sys.argv[2:]],
    )
    if ended.sentence:
        print(ended.sentence, file=sys.stderr)
    sys.exit(ended.status)
