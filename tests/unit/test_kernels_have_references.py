"""No kernel without its slow, obvious namesake in the file of that name in tests/reference."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

import batchgnn.kernels

FOLDER = Path(batchgnn.kernels.__file__).parent
DECORATORS = {"kernel", "parallel_kernel"}


def decorator_name(node):
    node = node.func if isinstance(node, ast.Call) else node
    return node.id if isinstance(node, ast.Name) else None


def kernels_in(source):
    """Public functions decorated as kernels; from the source, so that it works without the JIT."""
    return [
        node.name
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("_")
        and DECORATORS & {decorator_name(d) for d in node.decorator_list}
    ]


KERNELS = [
    (path.stem, name)
    for path in sorted(FOLDER.glob("*.py"))
    for name in kernels_in(path.read_text())
]


def test_kernels_are_found_by_their_decorators():
    source = (
        "@kernel\ndef a(): ...\n@parallel_kernel(fastmath=True)\ndef b(): ...\n@other\ndef c(): ..."
    )
    assert kernels_in(source) == ["a", "b"]
    assert ("spmm", "spmm") in KERNELS
    assert ("rng", "mix") in KERNELS


@pytest.mark.parametrize(("module", "name"), KERNELS, ids=[".".join(k) for k in KERNELS])
def test_kernel_has_a_namesake_in_the_reference(module, name):
    reference = import_module(f"reference.{module}")
    assert callable(getattr(reference, name, None)), (
        f"batchgnn/kernels/{module}.py: {name} needs a slow, obvious {name} in "
        f"tests/reference/{module}.py"
    )


def test_no_two_kernels_share_a_name():
    names = [name for _, name in KERNELS]
    assert len(names) == len(set(names))
