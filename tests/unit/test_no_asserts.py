"""Product code holds no `assert`: under `python -O` it is gone, with its effect or its check."""

import ast
from pathlib import Path

import pytest

import batchgnn

FOLDER = Path(batchgnn.__file__).parent
LINKS = [FOLDER / name for name in ("data", "partition", "launch")]  # rglob follows none
MODULES = sorted({path for root in (FOLDER, *LINKS) for path in root.rglob("*.py")})


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_a_module_has_no_assert(path):
    found = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assert)
    ]
    assert not found, f"{path}, lines {found}: raise instead, or say it by a type"


def test_every_folder_is_looked_at():
    names = {path.relative_to(FOLDER).parts[0] for path in MODULES}
    assert {"data", "partition", "launch", "store", "kernels", "nn", "cli.py"} <= names
