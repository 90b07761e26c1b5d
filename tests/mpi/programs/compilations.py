"""`python compilations.py OUT ARGUMENTS`: run `batchgnn ARGUMENTS`, say what each rank compiled.

`OUT.RANK` is JSON: `compiled`, the kernels and argument types that this rank compiled, and
`signatures`, the argument types that each kernel of the package was called with.
"""

import json
import os
import sys
from pathlib import Path

from numba.core import event
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

from batchgnn.cli import main


class Compilations(event.Listener):
    """Kernels and argument types compiled; not the functions that Numba puts into each anew."""

    def __init__(self):
        self.seen = []

    def on_start(self, event):
        kernel = event.data["dispatcher"]
        if isinstance(kernel._cache, FunctionCache):
            self.seen.append(f"{kernel.py_func.__name__}{event.data['args']}")

    def on_end(self, event):
        pass


def signatures():
    """The argument types each kernel was called with, by the kernel's name."""
    kernels = {
        value
        for name, module in list(sys.modules.items())
        if name.startswith("batchgnn.kernels.")
        for value in vars(module).values()
        if isinstance(value, Dispatcher)
    }
    return {k.py_func.__name__: [str(types) for types in k.overloads] for k in kernels}


if __name__ == "__main__":
    compilations = Compilations()
    event.register("numba:compile", compilations)
    try:
        main(sys.argv[2:])
    finally:
        rank = os.environ.get("OMPI_COMM_WORLD_RANK", os.environ.get("PMI_RANK", "0"))
        said = {"compiled": compilations.seen, "signatures": signatures()}
        Path(f"{sys.argv[1]}.{rank}").write_text(json.dumps(said, indent=1))
