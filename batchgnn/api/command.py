"""Commands of the command line in processes of their own, on any number of ranks.

A program that imports batchgnn starts no MPI: what needs it runs beside.
"""

import os
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

from batchgnn.base.errors import BatchGNNError
from batchgnn.settings.settings import flag

Word = str | int | float | os.PathLike


def words_of(options: dict[str, Any]) -> list[Word]:
    """Options as on the command line.

    >>> words_of({"fanouts": [5, 5], "overlap": False, "lr": 0.1, "patience": None})
    ['--fanouts', 5, 5, '--no-overlap', '--lr', 0.1]
    """
    words: list[Word] = []
    for name, value in options.items():
        if value is None:
            continue
        if isinstance(value, bool):
            words.append(flag(name if value else f"no_{name}"))
        elif isinstance(value, Iterable) and not isinstance(value, str):
            words += [flag(name), *value]
        else:
            words += [flag(name), value]
    return words


def command(words: list[Word], *, ranks: int = 1, show: bool = True) -> str:
    """Run a command of the command line in processes of its own; returns what it printed.

    Raises BatchGNNError with its last words when it fails.
    """
    launch = ["launch", "-n", str(ranks), "--"] if ranks > 1 else []
    line = [sys.executable, "-m", "batchgnn", *launch, *map(str, words)]
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        said: list[str] = []
        for text in process.stdout or ():
            said.append(text)
            if show:
                print(text, end="", flush=True)
    if process.returncode:
        raise BatchGNNError("".join(said[-20:]).strip().removeprefix("batchgnn: "))
    return "".join(said)
