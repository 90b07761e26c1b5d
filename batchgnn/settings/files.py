"""Settings in TOML: a table a subject, or all options flat at the top."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import tomli_w

from batchgnn.base.errors import ConfigError
from batchgnn.base.parse import parse_toml
from batchgnn.settings.settings import Settings, options_of, table_of

MOVED = {("sampling", "batch-size"), ("timeline", "negatives"), ("timeline", "eval-negatives")}
MOVED |= {("timeline", "eval-negatives-file"), ("negatives", "eval-negatives-file")}
"(table, option) of files from before, where the option was in another table."

RENAMED = {"number-loss": "losses"}
"Tables of files from before, as they are called now."


def write_settings(path: Path, shards: Path, settings: Settings) -> None:
    """Write a TOML file that `--config` reads back to the same settings; what is None is left out.

    The choices `mode`, `model` and `task` are flat at the top, other subjects are tables.
    """
    values: dict[str, Any] = {"shards": str(shards.absolute())}
    tables = {}
    for subject in settings.subjects:
        options = {
            name.replace("_", "-"): list(value) if isinstance(value, tuple) else value
            for name in options_of(subject)
            if (value := getattr(settings[subject], name)) is not None
        }
        if getattr(subject, "IS_FLAT", False):
            values |= options
        elif options:
            tables[table_of(subject)] = options
    path.write_text(tomli_w.dumps(values | tables))


def read_options(path: Path, subjects: Iterable[type]) -> tuple[Path | None, dict[str, Any]]:
    """The shard store, where it is named, and the options by name; raises ConfigError."""
    try:
        values = parse_toml(path.read_text())
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such settings file. Check --config, or --run with --resume."
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # also of bytes that are no UTF-8
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error
    shards = values.pop("shards", None)
    options = {
        name.replace("-", "_"): tuple(value) if isinstance(value, list) else value
        for name, value in _out_of_tables(path, values, subjects).items()
    }
    return None if shards is None else Path(shards), options


def _out_of_tables(path: Path, values: dict[str, Any], subjects: Iterable[type]) -> dict[str, Any]:
    """The tables' values beside those at the top; raises ConfigError where one is misplaced."""
    tables = {table_of(subject): options_of(subject) for subject in subjects}
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if not isinstance(value, dict):
            flat[name] = value
            continue
        if (name := RENAMED.get(name, name)) not in tables:
            raise ConfigError(f"{path}: there is no table [{name}]. Tables: {', '.join(tables)}.")
        for option, each in value.items():
            is_known = option.replace("-", "_") in tables[name]
            if not is_known and (name, option) not in MOVED:
                meant = did_you_mean(option, [known.replace("_", "-") for known in tables[name]])
                raise ConfigError(f"{path}: {option} is no option of [{name}].{meant}")
            flat[option] = each
    return flat


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """A question for the end of a message; nothing where no name of an option is like it."""
    close = get_close_matches(wrong, list(known), 1)
    return f" Did you mean --{close[0]}?" if close else ""
