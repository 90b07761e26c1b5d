"""Text of JSON and TOML, parsed: whatever is wrong with it is a ValueError, depth too."""

import json
import tomllib
from collections.abc import Callable
from typing import Any, TypeVar

Parsed = TypeVar("Parsed")


def parse_json(text: str | bytes) -> Any:
    """The value; raises ValueError."""
    return _flat(json.loads, text)


def parse_toml(text: str) -> dict[str, Any]:
    """The tables; raises ValueError."""
    return _flat(tomllib.loads, text)


def _flat(parser: Callable[[Any], Parsed], text: str | bytes) -> Parsed:
    try:
        return parser(text)
    except RecursionError:
        raise ValueError("values are nested too deeply") from None
