"""The options of a run, a frozen dataclass a subject; a subject lies with the code that reads it.

An option has one name everywhere: `feature_cache` of `Sampling` is `--feature-cache` on the command
line and `feature-cache` below `[sampling]` in a TOML file.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, TypeVar

Subject = TypeVar("Subject")


@cache
def options_of(subject: type) -> tuple[str, ...]:
    """Names of a subject's options."""
    return tuple(field.name for field in dataclasses.fields(subject))


def table_of(subject: type) -> str:
    """The subject's table in a TOML file: `[kept-inputs]` of KeptInputs."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", subject.__name__).lower()


def free_options(subject: type) -> frozenset[str]:
    """Options that do not change the numbers of a step, or may change on a resume."""
    return frozenset(getattr(subject, "FREE", ()))


def flag(option: str) -> str:
    """An option as on the command line."""
    return "--" + option.replace("_", "-")


class Settings:
    """The subjects of one run; never changed, `replace` makes others.

    given  the options that were said, by name: a resume and a plan start from them
    """

    def __init__(self, subjects: Iterable[type], given: Mapping[str, Any]):
        """The subjects, with what is given of their options; the others are defaults."""
        self.given = dict(given)
        self._subjects: dict[type, Any] = {}
        for subject in subjects:
            said = {name: given[name] for name in options_of(subject) if name in given}
            self._subjects[subject] = subject(**said)
        if unknown := self.given.keys() - self.options().keys():
            raise TypeError(f"no option of these subjects: {', '.join(sorted(unknown))}")

    @property
    def subjects(self) -> tuple[type, ...]:
        """The kinds of subjects that there are."""
        return tuple(self._subjects)

    def __contains__(self, subject: type) -> bool:
        return subject in self._subjects

    def __getitem__(self, subject: type[Subject]) -> Subject:
        """The options of a subject; KeyError where the run has none of them."""
        found: Subject = self._subjects[subject]
        return found

    def get(self, subject: type[Subject]) -> Subject | None:
        """The options of a subject; None where the run has none of them."""
        return self._subjects.get(subject)

    def options(self) -> dict[str, Any]:
        """Every option and its value, by name."""
        return {
            name: getattr(each, name)
            for subject, each in self._subjects.items()
            for name in options_of(subject)
        }

    def free(self) -> frozenset[str]:
        """Names of the options that may change on a resume."""
        return frozenset().union(*map(free_options, self._subjects))

    def replace(self, **options: Any) -> "Settings":
        """The same subjects with other values."""
        return Settings(self._subjects, self.given | options)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self._subjects == other._subjects

    def __hash__(self) -> int:
        return hash(tuple(self._subjects.values()))

    def __repr__(self) -> str:
        return f"Settings({', '.join(map(repr, self._subjects.values()))})"
