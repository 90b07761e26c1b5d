"""What must become of an input, and whether it did: the oracle of the fuzzer."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuzz.process import Ended, Worker

REFUSED, TAKEN, EITHER = "refused", "taken", "either"
SENTENCE = ("batchgnn: ", "╭─ Error")
"How what is said of a mistake begins."


def nothing_to_compare() -> str:
    """Of an input whose outcome is not known."""
    return ""


@dataclass(frozen=True)
class Step:
    """A command on an input.

    must   REFUSED (status 2, a sentence, nothing made), TAKEN (status 0), or EITHER
    makes  what it writes
    wrong  called when the input was taken: what is wrong with what was made; empty when nothing is
    """

    argv: tuple
    must: str
    makes: Path | None = None
    wrong: Callable[[], str] = nothing_to_compare


@dataclass(frozen=True)
class Case:
    """An input: what is special about it, and what is done with it."""

    what: str
    steps: tuple[Step, ...]


Maker = Callable[[random.Random, Path], Case]
"(draws, an empty folder) -> the input, written into the folder."


def findings(case: Case, worker: Worker) -> list[str]:
    """What did not become of a case as it must."""
    found = []
    for step in case.steps:
        ended = worker.run(*step.argv)
        if said := judged(step, ended):
            words = " ".join(map(str, step.argv))
            found.append(f"[{case.what}] batchgnn {words}\n    {said}")
            print(found[-1], flush=True)  # a long run need not end to tell
    return found


def judged(step: Step, ended: Ended) -> str:
    """What is wrong with how a command ended; empty when nothing is."""
    last = "\n    ".join((ended.out + ended.err).strip().splitlines()[-12:])
    if ended.status is None:
        return f"hangs: {last}"
    if ended.status < 0:
        return f"ended by signal {-ended.status}: {last}"
    if "Traceback" in ended.out + ended.err:
        return f"traceback: {last}"
    if "Warning: " in ended.err:
        return f"a warning of Python's: {last}"
    if ended.status not in (0, 2):
        return f"status {ended.status}: {last}"
    if ended.status == 0:
        if step.must == REFUSED:
            return f"accepted in silence: {last}"
        wrong = step.wrong()
        return f"taken wrongly: {wrong}: {last}" if wrong else ""
    if step.must == TAKEN:
        return f"refused: {last}"
    if not any(line.startswith(SENTENCE) for line in ended.err.splitlines()):
        return f"no sentence: {last}"
    return _left_behind(step)


def _left_behind(step: Step) -> str:
    """Whether a refused command left something that it was to make, or a part of it."""
    if step.makes is None:
        return ""
    left = [step.makes] if step.makes.exists() else []
    left += step.makes.parent.glob(f".{step.makes.name}.*")
    return f"left behind: {', '.join(map(str, left))}" if left else ""


def assert_sound(kind, inputs, worker):
    """Judge inputs of a kind, each with a name to make it again by."""
    found, done, count = [], Counter(), 0
    for name, case in inputs:
        count += 1
        done.update(step.must for step in case.steps)
        found += [f"{name} {said}" for said in findings(case, worker)]
    print(f"{kind}: {count} inputs, commands {dict(done)}, {worker.num_started} processes")
    assert not found, f"{len(found)} findings\n" + "\n".join(found[:40])
