"""Ranges of options, checked where they are read."""

import math
from typing import Any

from cyclopts import Parameter, validators


def finite(_: Any, value: Any) -> None:
    """Refuse nan and the infinities, which every range lets through on some side."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no number to train with: give a finite one.")


AT_LEAST_ONE = Parameter(validator=validators.Number(gte=1))
NOT_NEGATIVE = Parameter(validator=(finite, validators.Number(gte=0)))
POSITIVE = Parameter(validator=(finite, validators.Number(gt=0)))
PROBABILITY = Parameter(validator=(finite, validators.Number(gte=0, lt=1)))
