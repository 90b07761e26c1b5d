"""Whether values that no command line read are of their options' types and ranges."""

import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from cyclopts import Parameter

from batchgnn.settings.settings import Settings, flag, options_of


def misfits(settings: Settings) -> Iterator[str]:
    """What is wrong with which option, of those that are given."""
    for subject in settings.subjects:
        kinds = typing.get_type_hints(subject, include_extras=True)
        for name in options_of(subject):
            if name in settings.given:
                value = settings.given[name]
                if said := _misfit(value, kinds[name]):
                    yield f"{flag(name)} is {value!r:.60}, {said}"


def _misfit(value: Any, kind: Any) -> str:
    """What is wrong with a value; empty when nothing is."""
    extras: tuple[Any, ...] = ()
    if get_origin(kind) is Annotated:
        kind, *extras = get_args(kind)  # type: ignore[assignment]
    if not _is_a(value, kind):
        return "which is of another kind"
    for extra in extras:
        for check in _validators(extra) if value is not None else ():
            try:
                check(kind, value)
            except ValueError as error:
                return str(error)
    return ""


def _validators(extra: Any) -> tuple[Any, ...]:
    found = extra.validator if isinstance(extra, Parameter) else ()
    return found if isinstance(found, tuple) else (found,)


def _is_a(value: Any, kind: Any) -> bool:
    """Whether a value that TOML can hold is of an option's type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return any(_is_a(value, each) for each in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        return isinstance(value, tuple) and all(_is_a(each, arguments[0]) for each in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)
