"""Every module of cases/ on 1, 2, 3 and 4 ranks.

The chosen modules of one rank count share one mpirun, begun when the tests have been collected
(`conftest.py`); after a failure there, each module that did not pass is run by itself, so that it
is reported by itself.
"""

import pytest
from mpi.case_jobs import MODULES, TIMEOUT_S, run_cases


@pytest.mark.timeout(4 * TIMEOUT_S)
@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("num_ranks", [1, 2, 3, 4])
def test_case(name, num_ranks, case_jobs):
    cases = case_jobs.jobs[num_ranks].result()
    if cases.done.status != 0 and not cases.all_passed(name):
        cases = run_cases(num_ranks, [name])
        assert cases.done.status == 0, cases.done.output
    assert cases.all_passed(name), cases.done.output
