"""Cases are collected only on a rank: `test_on_ranks.py` starts them under mpirun."""

import os

collect_ignore = [] if "BATCHGNN_TEST_REPORT" in os.environ else ["cases"]
