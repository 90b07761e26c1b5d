"""A process that runs one command after another: a line of JSON in, a line of JSON out.

What a command prints goes to files, so that a worker that died or hangs can still be read.
"""

import json
import os
import sys
import traceback
from pathlib import Path


def run(argv):
    """The command's exit status, as a shell would see it."""
    from batchgnn.cli import main

    try:
        main(argv)
    except SystemExit as end:
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def serve(said):
    """Until the requests end; said: folder of the files `out` and `err`."""
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        for number, name in ((1, "out"), (2, "err")):
            file = os.open(said / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, number)
            os.close(file)
        status = run(json.loads(line))
        sys.stdout.flush()
        sys.stderr.flush()
        answers.write(f"{json.dumps(status)}\n")
        answers.flush()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
