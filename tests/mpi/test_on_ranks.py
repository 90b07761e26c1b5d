"""Every module of cases/ on 1, 2, 3 and 4 ranks.

All modules of one rank count share one mpirun; after a failure there, each module that did not
pass is run by itself, so that it is reported by itself. The jobs of 1 and 2 ranks run at the same
time, one of them backwards: with a cold cache each compiles kernels for both.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from mpi.ranks import HERE, Done, run_on_ranks

CASES = HERE / "cases"
MODULES = sorted(path.name for path in CASES.glob("test_*.py"))
TIMEOUT_S = 900
SIDE_BY_SIDE = {1: (1, 2), 2: (1, 2), 3: (3,), 4: (4,)}


@dataclass
class Cases:
    """How a job of case modules ended, and tests by module: collected, passed on every rank."""

    done: Done
    collected: Counter
    passed: Counter

    def all_passed(self, name):
        return 0 < self.collected[name] == self.passed[name]


def run_cases(num_ranks, paths, report: Path):
    argv = ["-m", "pytest", "-q", "-p", "mpi.worker", "-p", "no:cacheprovider", *paths]
    settings = {"BATCHGNN_TEST_REPORT": str(report), "HYPOTHESIS_DERANDOMIZE": "1"}
    done = run_on_ranks(num_ranks, argv, timeout_s=TIMEOUT_S, environment=settings)
    names = [lines(report.with_name(f"{report.name}.{rank}")) for rank in range(num_ranks)]
    together = set(names[0]).intersection(*names[1:])
    collected = lines(report.with_name(f"{report.name}.collected"))
    return Cases(done, by_module(collected), by_module(together))


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def by_module(names):
    return Counter(name.partition("::")[0] for name in names)


@cache
def run_all(counts, folder):
    with ThreadPoolExecutor(len(counts)) as pool:
        orders = zip(counts, (MODULES, MODULES[::-1]), strict=False)
        jobs = {
            P: pool.submit(run_cases, P, [CASES / name for name in names], folder / f"all-{P}")
            for P, names in orders
        }
    return {P: job.result() for P, job in jobs.items()}


@pytest.mark.timeout(2 * TIMEOUT_S + 60)
@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("num_ranks", [1, 2, 3, 4])
def test_case(name, num_ranks, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    cases = run_all(SIDE_BY_SIDE[num_ranks], folder)[num_ranks]
    if cases.done.status != 0 and not cases.all_passed(name):
        cases = run_cases(num_ranks, [CASES / name], folder / f"{name}-{num_ranks}")
        assert cases.done.status == 0, cases.done.output
    assert cases.all_passed(name), cases.done.output
