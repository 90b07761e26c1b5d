"""The whole covering array of train's options, on 1, 2 and 3 ranks."""

import pytest
from mpi.case_jobs import TIMEOUT_S, run_cases

NAME = "test_option_pairs.py"


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S + 60)
@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_all_rows_on_ranks(num_ranks, monkeypatch):
    monkeypatch.setenv("BATCHGNN_TEST_ALL_PAIRS", "1")
    cases = run_cases(num_ranks, [NAME])
    assert cases.done.status == 0, cases.done.output
    assert cases.all_passed(NAME), cases.done.output
