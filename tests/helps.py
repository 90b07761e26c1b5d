"""What `--help` prints of a command and of those below it."""

import io
import re

from rich.console import Console


def with_commands(app, words=("batchgnn",)):
    """(words, app) of the app and of every command below it."""
    yield words, app
    for name in app:
        if not name.startswith("-"):
            yield from with_commands(app[name], (*words, name))


def rows_of(app):
    """(names, help) of each option: a row, because nothing wraps on a line this wide."""
    printed = io.StringIO()
    app.help_print([], console=Console(file=printed, width=5000, color_system=None))
    for line in printed.getvalue().splitlines():
        names, _, said = line.strip("│* ").partition("  ")
        if re.search(r"(^| )--[a-z]", names):
            yield re.findall(r"--[a-z][\w-]*", names), said
