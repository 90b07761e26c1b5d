"""The documentation, built by Sphinx: `make docs`.

Pages are Markdown (MyST), and take what the repository's own pages say by `include`. The command
line's reference is what cyclopts makes of the commands; Python's comes from the docstrings.
"""

import re
from typing import Any
from unittest.mock import patch

from cyclopts.docs.markdown import generate_markdown_docs

import batchgnn
from batchgnn.cli import app as commands

project = "BatchGNN"
author = "the BatchGNN authors"
version = release = batchgnn.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = f"BatchGNN {version}"
html_copy_source = False

nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(collections|matplotlib|numpy|np|os|pathlib|typing)\b.*"),
    ("py:.*", r"(Any|Axes|Path|Report|batchgnn\.data\..*)"),
]
"Names of other projects, whose pages are not looked up, and of what has no page."

myst_heading_anchors = 6
suppress_warnings = ["myst.header"]  # included sections begin where their page has them
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
default_role = "code"  # one backtick in a docstring

COMMANDS = "<!-- all commands -->"
FIELD = re.compile(r"(\w+)  +(?=\S)")
"A name in the first column of a docstring, and the space up to the second."


def put_commands(app: Any, page: str, source: list[str]) -> None:
    """The place of all commands, filled."""
    if COMMANDS in source[0]:
        with patch("sys.argv", ["batchgnn"]):  # whose first word cyclopts takes for the program
            made = generate_markdown_docs(commands, heading_level=1, generate_toc=False)
        source[0] = source[0].replace(COMMANDS, made.partition("\n")[2])


def put_fields(app: Any, what: str, name: str, of: Any, options: Any, lines: list[str]) -> None:
    """A docstring's columns of names and meanings, as a list of definitions."""
    made, inside = [], False
    for line in lines:
        field = FIELD.match(line)
        inside = bool(field) or (inside and line.startswith("  "))
        if field:
            made += ["", f"``{field[1]}``", f"    {line[field.end() :]}"]
        else:
            made.append(f"    {line.strip()}" if inside else line)
    lines[:] = made


def find_by_its_last_word(app: Any, env: Any, node: Any, inner: Any) -> Any:
    """`batchgnn.api.run.Run` has its place as `batchgnn.Run`."""
    name = node["reftarget"].rpartition(".")[2]
    if node.get("refdomain") != "py" or name not in batchgnn.__all__:
        return None
    target = f"batchgnn.{name}"
    python = env.get_domain("py")
    return python.resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], target, node, inner
    )


def setup(app: Any) -> None:
    """Connect the three."""
    app.connect("source-read", put_commands)
    app.connect("autodoc-process-docstring", put_fields)
    app.connect("missing-reference", find_by_its_last_word)
