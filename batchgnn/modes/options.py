"""Options that several modes have."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class Messages:
    """When rows travel."""

    FREE: ClassVar = ("overlap",)

    overlap: bool | None = None
    """Communicate in threads of their own: the rows of the next minibatches, of other ranks'
    vertices or of the next chunk of edges travel while others are multiplied. [default: where ranks
    send each other rows]"""
