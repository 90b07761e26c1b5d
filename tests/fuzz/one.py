"""One input again: `python -m fuzz.one KIND SEED NUMBER FOLDER`, in tests/, makes and runs it."""

import sys
from pathlib import Path

from fuzz.kinds import KINDS, draws
from fuzz.oracle import judged
from fuzz.process import Worker


def main(kind, seed, number, folder):
    """Print each command, what it said, and what is wrong with that."""
    folder = Path(folder).absolute()
    (folder / "said").mkdir(parents=True)
    (folder / "case").mkdir()
    case = KINDS[kind](draws(kind, int(seed), int(number)), folder / "case")
    print(case.what)
    worker = Worker(folder / "said")
    for step in case.steps:
        ended = worker.run(*step.argv)
        print("batchgnn", *step.argv, f"\n{ended.out}{ended.err}status {ended.status}")
        print(f"must be {step.must}: {judged(step, ended) or 'it is'}\n")
    worker.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
