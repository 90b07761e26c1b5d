"""Commands whose options are those of all subjects: one signature from many dataclasses.

cyclopts reads the signature, so `--help`, "did you mean" and the conversion of values need nothing
else. What was said, on the command line or in a file, reaches the command as a dictionary.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from cyclopts import App, Group, Parameter
from cyclopts.config import Dict

from batchgnn.base.errors import ConfigError
from batchgnn.settings.files import did_you_mean, read_options
from batchgnn.settings.mistakes import whole_numbers
from batchgnn.settings.settings import options_of

OPTIONS = "options"
"The parameter of a command that receives what was said of the subjects' options."


class Options:
    """The options of several subjects, for the commands that have them."""

    def __init__(self, titles: Mapping[type, str], choices: Mapping[str, Sequence[str]]):
        """Which subjects there are.

        titles: subject -> heading of its options in `--help`
        choices: what an option may be, of those whose values are names of a table
        """
        self.titles, self.choices = dict(titles), dict(choices)
        self._said: set[str] = set()

    def app(self, command: Callable[..., None], **about: Any) -> App:
        """A cyclopts app of one command, whose parameter `options` gets what was said, by name."""
        app = App(config=(self._take_files, whole_numbers), **about)
        app.default(self._with_subjects(command))
        return app

    def _with_subjects(self, command: Callable[..., None]) -> Callable[..., None]:
        """The command with a parameter a subject in place of `options`."""
        keyword = inspect.Parameter.KEYWORD_ONLY
        own = inspect.signature(command, eval_str=True)
        parameters = [each for name, each in own.parameters.items() if name != OPTIONS]
        for position, (subject, title) in enumerate(self.titles.items()):
            about = Parameter(name="*", group=Group(title, sort_key=position))
            kind: Any = Annotated[self._narrowed(subject) | None, about]
            name = f"of_{subject.__name__}"
            parameters.append(inspect.Parameter(name, keyword, annotation=kind, default=None))

        @wraps(command)
        def called(*positional: Any, **named: Any) -> None:
            subjects = [v for k, v in list(named.items()) if k.startswith("of_") and v is not None]
            rest = {k: v for k, v in named.items() if not k.startswith("of_")}
            command(*positional, **rest, options=self._options(subjects))

        called.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in parameters}
        return called

    def _narrowed(self, subject: type) -> Any:
        """The subject, whose options with choices have the type of these."""
        names = [name for name in options_of(subject) if name in self.choices]
        if not names:
            return subject
        kinds, narrowed = get_type_hints(subject, include_extras=True), {}
        for name in names:
            kind: Any = Literal[tuple(self.choices[name])]
            optional = getattr(subject, name) is None
            narrowed[name] = Annotated[kind | None if optional else kind, *kinds[name].__metadata__]
        defaults = {name: getattr(subject, name) for name in names}
        body = {**defaults, "__annotations__": narrowed, "__module__": subject.__module__}
        return dataclass(frozen=True, kw_only=True)(type(subject.__name__, (subject,), body))

    def _options(self, subjects: Sequence[Any]) -> dict[str, Any]:
        return {
            name: getattr(each, name)
            for each in subjects
            for name in options_of(each.__class__)
            if name in self._said
        }

    def _take_files(self, app: App, commands: tuple[str, ...], arguments: Any) -> None:
        """Take what the command line leaves open from `--config`, then from a run that resumes."""
        used = [a for a in arguments if a.tokens]
        given = {a.name: a.tokens[0].value for a in used}
        paths = [Path(given["--config"])] if "--config" in given else []
        resume = any(a.name == "--resume" and a.tokens[0].keyword == "--resume" for a in used)
        for path in paths:
            self._take_file(path, app, commands, arguments)
        if resume and "--run" in given:
            path = Path(given["--run"]) / "config.toml"
            if not self._take_file(path, app, commands, arguments):
                raise ConfigError(f"{path} names no shards: it is not what a run wrote.")
        self._said = {a.field_info.name for a in arguments if a.tokens}

    def _take_file(self, path: Path, app: App, commands: tuple[str, ...], arguments: Any) -> bool:
        """Take them from a file; whether it names shards."""
        shards, options = read_options(path, self.titles)
        values = {
            name.replace("_", "-"): list(value) if isinstance(value, tuple) else value
            for name, value in options.items()
        }
        if shards is not None:
            values["shards"] = str(shards)
        known = {a.name.removeprefix("--") for a in arguments}
        if unknown := [name for name in values if name not in known]:
            wrong = unknown[0]
            raise ConfigError(f"{path}: there is no option {wrong}.{did_you_mean(wrong, known)}")
        source = Dict(values, allow_unknown=True, use_commands_as_keys=False, source=str(path))
        source(app, commands, arguments)
        return shards is not None
