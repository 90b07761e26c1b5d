"""Mistakes on the command line, in one sentence of the same form for all commands.

cyclopts says them in a frame; and it rounds 1.5 to a whole number without a word.
"""

import contextlib
import re
from typing import Any, get_args

from cyclopts import CycloptsError
from cyclopts.exceptions import MissingArgumentError, UnknownOptionError, UnusedCliTokensError

from batchgnn.base.errors import ConfigError

MESSAGES = 'Command "', "Invalid value", "Parameter ", "Unable to", "Unknown "
"Beginnings of cyclopts' messages, which go on after a colon."


WORD_OR_NUMBER = re.compile(r"Literal\[(\w+)\]\|(int|float)(?:\|None)?")
"How they have a type that is a word or a number."
KINDS = {"int": "a whole number", "float": "a number"}


def mistake(error: CycloptsError) -> ConfigError:
    """What to raise for an error of parsing: which command, what is wrong, where to look."""
    error.verbose = False
    command = " ".join(["batchgnn", *(error.command_chain or ())])
    text = " ".join(_text(error).split())
    if text.startswith(MESSAGES):
        text = text[:1].lower() + text[1:]
    return ConfigError(f"{text} See {command} --help.")


def _text(error: CycloptsError) -> str:
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"{error.unused_tokens[0]} is one argument too many."
    if isinstance(error, UnknownOptionError):
        return str(error).replace("Unknown option: ", "there is no option ", 1)
    if type(error) is MissingArgumentError and error.argument is not None:
        said = str(error).rpartition(" Did you mean ")
        meant = "".join(said[1:]) if said[1] else ""
        if error.keyword is not None or error.argument.tokens:
            return f"{error.keyword or error.argument.name} needs a value.{meant}"
        name = error.argument.name
        name = name if error.argument.index is None else name.lstrip("-").upper()
        return f"{name} is missing.{meant}"
    return WORD_OR_NUMBER.sub(lambda found: f"{KINDS[found[2]]} or {found[1]}", str(error))


def whole_numbers(app: Any, commands: tuple[str, ...], arguments: Any) -> None:
    """Raise ConfigError for a number like 1.5 where an integer is needed; a config of cyclopts."""
    for argument in arguments:
        if int in _kinds(argument.hint):
            for token in argument.tokens:
                _require_whole(argument.name, token.value)


def _kinds(hint: Any) -> set[Any]:
    """The types that a hint is made of; those of choices are none."""
    parts = [each for each in get_args(hint) if isinstance(each, type) or get_args(each)]
    return {hint} if not parts else set().union(*map(_kinds, parts))


def _require_whole(name: str, value: str) -> None:
    with contextlib.suppress(ValueError, TypeError):
        if not float(value).is_integer():
            raise ConfigError(f"{name} {value}: needed a whole number.")
