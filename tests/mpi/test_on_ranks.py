"""Every module of cases/ on 1, 2, 3 and 4 ranks.

All modules of one rank count share one mpirun; after a failure there, each module that did not
pass is run by itself, so that it is reported by itself.
"""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from mpi.ranks import HERE, run_on_ranks

CASES = HERE / "cases"
MODULES = sorted(path.name for path in CASES.glob("test_*.py"))
TIMEOUT_S = 420


def run_cases(num_ranks, paths, report: Path):
    """Run case modules; how it ended, and how many tests of each module passed on every rank."""
    argv = ["-m", "pytest", "-q", "-p", "mpi.worker", "-p", "no:cacheprovider", *paths]
    settings = {"BATCHGNN_TEST_REPORT": str(report), "HYPOTHESIS_DERANDOMIZE": "1"}
    done = run_on_ranks(num_ranks, argv, timeout_s=TIMEOUT_S, environment=settings)
    files = [report.with_name(f"{report.name}.{rank}") for rank in range(num_ranks)]
    passed = [Counter(f.read_text().splitlines() if f.exists() else []) for f in files]
    together = {nodeid for nodeid in passed[0] if all(p[nodeid] for p in passed)}
    return done, Counter(nodeid.partition("::")[0] for nodeid in together)


@cache
def run_all(num_ranks, folder):
    return run_cases(num_ranks, [CASES / name for name in MODULES], folder / f"all-{num_ranks}")


def num_tests(name):
    """Test functions of a module: at least so many tests must have passed."""
    functions = ast.walk(ast.parse((CASES / name).read_text()))
    return sum(isinstance(f, ast.FunctionDef) and f.name.startswith("test_") for f in functions)


@pytest.mark.timeout(2 * TIMEOUT_S + 60)
@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("num_ranks", [1, 2, 3, 4])
def test_case(name, num_ranks, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    done, passed = run_all(num_ranks, folder)
    if done.status != 0 and passed[name] < num_tests(name):
        done, passed = run_cases(num_ranks, [CASES / name], folder / f"{name}-{num_ranks}")
        assert done.status == 0, done.output
    assert passed[name] >= num_tests(name), done.output
