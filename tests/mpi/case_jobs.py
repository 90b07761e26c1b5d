"""The modules of cases/ on several ranks: one job for each rank count, one job after the other.

They run beside the tests of one process, which leave a core idle most of the time.
"""

import os
import tempfile
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
from mpi.ranks import HERE, Done, run_on_ranks

CASES = HERE / "cases"
MODULES = sorted(path.name for path in CASES.glob("test_*.py"))
TIMEOUT_S = 1500


@dataclass
class Cases:
    """How a job of case modules ended, and tests by module: collected, passed on every rank."""

    done: Done
    collected: Counter
    passed: Counter

    def all_passed(self, name):
        return 0 < self.collected[name] == self.passed[name]


def run_cases(num_ranks, names):
    """Run modules on ranks, in one job."""
    argv = ["-m", "pytest", "-q", "-p", "mpi.worker", "-p", "no:cacheprovider"]
    with tempfile.TemporaryDirectory(prefix="batchgnn-cases-") as folder:
        report = Path(folder) / "passed"
        settings = {"BATCHGNN_TEST_REPORT": str(report), "HYPOTHESIS_DERANDOMIZE": "1"}
        if not os.environ.get("BATCHGNN_ALL_CASES"):
            settings["BATCHGNN_SHARE_CASES"] = "1"
        paths = [CASES / name for name in names]
        done = run_on_ranks(
            num_ranks, [*argv, *paths], timeout_s=TIMEOUT_S, environment=settings, behind=True
        )
        passed = [_lines(report.with_name(f"passed.{rank}")) for rank in range(num_ranks)]
        collected = _lines(report.with_name("passed.collected"))
    together = set(passed[0]).intersection(*passed[1:])
    return Cases(done, _by_module(collected), _by_module(together))


def _lines(path):
    return path.read_text().splitlines() if path.exists() else []


def _by_module(names):
    return Counter(name.partition("::")[0] for name in names)


class CaseJobs:
    """Jobs under way, by rank count."""

    def __init__(self, chosen: dict[int, list[str]]):
        """chosen: names of modules by rank count"""
        self.pool = ThreadPoolExecutor(1)
        self.jobs: dict[int, Future[Cases]] = {
            P: self.pool.submit(run_cases, P, chosen[P]) for P in sorted(chosen)
        }

    def end(self):
        """Nothing is left running, as after Ctrl-C."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        if not all(job.done() for job in self.jobs.values()):
            for each in psutil.Process().children():
                each.terminate()
