"""The house's rules that a program can check: who knows what, how long functions and files are."""

import ast
import re
from pathlib import Path
from statistics import median

import pytest

from batchgnn.modes.kinds import MODES
from batchgnn.tasks.kinds import TASKS

ROOT = Path(__file__).parents[2]
PRODUCT = [
    path
    for folder in ("batchgnn", "data", "launch", "partition")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
TABLES = {"batchgnn/modes/kinds.py", "batchgnn/plan/predictions.py"}
DEFAULT = "batchgnn/modes/chosen.py"


def place(path):
    return str(path.relative_to(ROOT))


def lines_with(pattern, paths):
    """FILE:LINE of every line that matches."""
    return [
        f"{place(path)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line)
    ]


def test_modes_know_no_label():
    paths = [path for path in PRODUCT if place(path).startswith("batchgnn/modes/")]
    assert len(paths) > 20
    assert lines_with("(?i)label", paths) == []


@pytest.mark.parametrize("name", MODES)
def test_a_mode_is_named_by_its_folder_and_the_two_tables_alone(name):
    """Two modes share a folder; the default is named where the mode is chosen."""
    folder = "whole" if name == "fullgraph" else name
    elsewhere = [
        path
        for path in PRODUCT
        if place(path) not in TABLES and not place(path).startswith(f"batchgnn/modes/{folder}/")
    ]
    found = lines_with(f"[\"']{name}[\"']", elsewhere)
    is_default = name == "macrobatch"
    assert [each.partition(":")[0] for each in found] == [DEFAULT] * is_default, found
    for table in TABLES:
        assert lines_with(f"[\"']{name}[\"']", [ROOT / table])


def test_a_task_is_named_in_its_table_and_the_data_that_is_stored():
    tables = {"batchgnn/tasks/kinds.py", "batchgnn/store/labels.py"}
    paths = [path for path in (ROOT / "batchgnn").rglob("*.py") if place(path) not in tables]
    assert lines_with(f"[\"']({'|'.join(TASKS)})[\"']", paths) == []


def functions(paths):
    """(lines, where) of every function."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.end_lineno - node.lineno + 1, f"{place(path)} {node.name}"


def test_functions_are_short():
    found = sorted(functions(PRODUCT))
    assert len(found) > 1000
    assert [each for each in found if each[0] > 60] == []
    assert median(length for length, _ in found) <= 8


def test_files_are_short():
    paths = [path for path in PRODUCT + TESTS if "tests/reference/" not in place(path)]
    lengths = {place(path): len(path.read_text().splitlines()) for path in paths}
    assert {path: length for path, length in lengths.items() if length > 400} == {}


def test_few_modules_lie_loose():
    loose = [path.name for path in (ROOT / "batchgnn").glob("*.py")]
    assert set(loose) >= {"__init__.py", "__main__.py", "cli.py"}
    assert len(loose) <= 5


def test_nothing_central_is_any():
    """A share, a session or settings that the type checker does not look at."""
    names = "session|share|settings|own|grid|comm|world|model|task|mode|manifest|operator|A"
    assert lines_with(rf"\b({names}): Any\b", PRODUCT) == []
