"""Descriptions that a file has as an attribute: frozen dataclasses, as JSON."""

import json
from dataclasses import asdict
from typing import Any, TypeVar

from batchgnn.base.parse import parse_json

Kind = TypeVar("Kind")


class Spec:
    """A frozen dataclass that can be an attribute."""

    def to_json(self) -> str:
        """As an attribute of a file has it."""
        return json.dumps(asdict(self), sort_keys=True)  # type: ignore[call-overload]


def parsed_spec(kind: type[Kind], text: str, what: str) -> Kind | None:
    """The spec of an attribute; None of an empty one. Raises ValueError for another text."""
    if not text:
        return None
    try:
        values: Any = parse_json(text)
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{text!r} does not describe {what}") from error
