"""The values of a settings file by name, whether they stand alone or in tables."""

from collections.abc import Mapping
from typing import Any


def flattened(values: Mapping[str, Any]) -> dict[str, Any]:
    """One level of tables taken out: {"a": 1, "model": {"b": 2}} -> {"a": 1, "b": 2}."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= value if isinstance(value, Mapping) else {name: value}
    return flat
