"""The documentation's pages as a reader has them: what they include, and the code on them."""

import re
from dataclasses import dataclass

from markdown_it import MarkdownIt
from pages import ROOT

DOCS = ROOT / "docs"
INCLUDE = re.compile(r"```\{include\} (\S+)\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """Code on a page: its language, empty where it is indented, and whether test_readme runs it."""

    language: str
    code: str
    is_of_readme: bool


def page_names():
    return sorted(path.stem for path in DOCS.glob("*.md"))


def page(name):
    """The text of a page, with what it includes."""
    return INCLUDE.sub(_included, (DOCS / f"{name}.md").read_text())


def _included(found):
    text = (DOCS / found[1]).read_text()
    options = dict(re.findall(r':([\w-]+): "(.*)"', found[2]))
    if "start-after" in options:
        text = text.partition(options["start-after"])[2]
    return text.partition(options["end-before"])[0] if "end-before" in options else text


def snippets(text):
    """Those of a page, in order."""
    before = ""
    for token in MarkdownIt().parse(text):
        if token.type in ("fence", "code_block"):
            yield Snippet(token.info.strip(), token.content, "test_readme.py" in before)
        before = token.content
