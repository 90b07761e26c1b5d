"""Ranges of options, checked where they are read."""

from cyclopts import Parameter, validators

AT_LEAST_ONE = Parameter(validator=validators.Number(gte=1))
NOT_NEGATIVE = Parameter(validator=validators.Number(gte=0))
POSITIVE = Parameter(validator=validators.Number(gt=0))
PROBABILITY = Parameter(validator=validators.Number(gte=0, lt=1))
