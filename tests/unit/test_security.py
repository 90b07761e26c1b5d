"""What the sources never do: read pickles, open ports, or send objects by mpi4py's own methods."""

import ast
import re
from pathlib import Path

import pytest

from batchgnn.base.parse import parse_json, parse_toml

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in ("batchgnn", "partition", "launch", "data")
    for path in (ROOT / folder).rglob("*.py")
)
UNWANTED_MODULES = {
    "pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle",  # reading runs code
    "http", "socketserver", "asyncio", "xmlrpc", "multiprocessing",  # listening
}  # fmt: skip
OF_OBJECTS = {"allgather", "bcast", "isend", "irecv", "recv", "alltoall", "scatter", "sendrecv"}
"Methods of mpi4py that pickle; `gather` and `send` are also names of ours, see test_values.py."


def faults(tree):
    """(line, what) of everything unwanted in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            names = []
        for name in names:
            if name.partition(".")[0] in UNWANTED_MODULES:
                yield node.lineno, f"imports {name}"
        if isinstance(node, ast.Attribute):
            of = getattr(node.value, "id", "")
            if node.attr in OF_OBJECTS or (of == "socket" and node.attr != "gethostname"):
                yield node.lineno, f"uses {of}.{node.attr}"
        allows = isinstance(node, ast.keyword) and node.arg == "allow_pickle"
        if allows and getattr(node.value, "value", None) is not False:
            yield node.value.lineno, "allows pickles"


def test_all_sources_are_looked_at():
    assert len(SOURCES) > 100
    assert {path.name for path in SOURCES} >= {"failure.py", "convert_npz.py", "mpirun.py"}


def test_text_is_parsed_in_one_place_which_bears_any_depth():
    parsers = re.compile(r"\b(json\w*|tomllib)\.loads?\b")
    assert {path.name for path in SOURCES if parsers.search(path.read_text())} == {"parse.py"}
    for parse in (parse_json, parse_toml):
        with pytest.raises(ValueError, match="nested too deeply"):
            parse("a = " * (parse is parse_toml) + "[" * 100_000)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_pickles_and_no_ports(path):
    assert list(faults(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from multiprocessing.managers import BaseManager",
        "said = comm.allgather(1)",
        "socket.create_server(('', 1))",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_the_scan_would_notice(text):
    assert list(faults(ast.parse(text)))
