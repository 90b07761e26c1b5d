"""How many inputs of a kind, and from which seed.

BATCHGNN_FUZZ is the number of inputs of all kinds together, BATCHGNN_FUZZ_SEED their seed.
"""

import os

from fuzz.kinds import KINDS

NUM_KINDS = len(KINDS) + 2
"Those of numbered draws, and the two of `test_values.py`."

FEW, MANY = (-(-int(os.environ.get("BATCHGNN_FUZZ", most)) // NUM_KINDS) for most in (300, 5000))
SEED = int(os.environ.get("BATCHGNN_FUZZ_SEED", 1))
