"""The whole covering array of train's options, on 1, 2 and 3 ranks."""

import pytest
from mpi.test_on_ranks import CASES, run_cases

NAME = "test_option_pairs.py"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_all_rows_on_ranks(num_ranks, tmp_path, monkeypatch):
    monkeypatch.setenv("BATCHGNN_TEST_ALL_PAIRS", "1")
    cases = run_cases(num_ranks, [CASES / NAME], tmp_path / "report")
    assert cases.done.status == 0, cases.done.output
    assert cases.all_passed(NAME), cases.done.output
