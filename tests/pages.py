"""What a page in Markdown claims of the repository: paths, names in them, options, defaults."""

import ast
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from batchgnn import PUBLIC

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "batchgnn"
SOURCES = (".py", ".md", ".css", ".in", ".txt")
"Endings of what is a file of this repository wherever a page names it."

USERS = ("run/",)
"Folders of a user's that are called as one of the package."

FILES_IN_CAPITALS = re.compile(r"(README|DESIGN|FORMAT|CONTRIBUTING|CHANGELOG|LICENSE)(\.md)?")
PLACEHOLDER = re.compile(r"[A-Z]{3,}")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]")
DEFINED = re.compile(r"([\w./-]+\.py):\s+([A-Za-z_][\w.]*(?:,\s+[A-Za-z_][\w.]*)*)")
VALUE = r"`?([\w.]+)`?"
NUMBER = re.compile(r"\d[\d.]*[KMG]?")


@dataclass(frozen=True)
class Said:
    """A word, or several, of a page, and the line on which they begin."""

    text: str
    line: int


@dataclass(frozen=True)
class Default:
    """A page's claim that an option has this default."""

    option: str
    value: str
    line: int


@dataclass
class Block:
    """Lines without an empty one among them: a paragraph, a table or code."""

    first_line: int
    lines: list[str] = field(default_factory=list)
    is_code: bool = False

    @property
    def text(self) -> str:
        """Its lines as one text."""
        return "\n".join(self.lines)

    def line_of(self, position: int) -> int:
        """The page's line of a place in the text."""
        return self.first_line + self.text.count("\n", 0, position)

    def spans(self) -> list[Said]:
        """What stands in backticks; of code every line."""
        if self.is_code:
            return [Said(line, self.first_line + n) for n, line in enumerate(self.lines)]
        found = re.finditer(r"`([^`]+)`", self.text)
        return [Said(each[1], self.line_of(each.start())) for each in found]


def blocks(text):
    """The page in blocks; fences belong to none."""
    found, fenced, block = [], False, None
    for number, line in enumerate(text.splitlines(), start=1):
        is_fence = line.lstrip().startswith("```")
        fenced ^= is_fence
        if is_fence or not line.strip():
            block = None
            continue
        if block is None:
            block = Block(number, is_code=fenced or line.startswith("    "))
            found.append(block)
        block.lines.append(line)
    return found


# Paths


def false_paths(text, page):
    """(line, word, what is wrong) of each path, and each name in a file, that is not there.

    page: where the text stands; a bare file name may also be relative to its folder, or to a folder
    that the same block names
    """
    false = []
    for block in blocks(text):
        spans = block.spans()
        words = [Said(word, said.line) for said in spans for word in paths_in(said.text)]
        around = [page.parent, *folders([word.text for word in words])]
        false += [(w.line, w.text, "no such file") for w in words if not found(w.text, around)]
        for said in spans:
            false += [(said.line, *each) for each in false_names(said.text, around)]
    return false


def false_names(span, around):
    """(word, what is wrong) of `file.py: name, name` and of `batchgnn.module.name`."""
    if each := DEFINED.match(span):
        files = found(each[1], around)
        for name in re.split(r",\s+", each[2]) if files else []:
            if not any(name in defined_in(path) for path in files):
                yield f"{each[1]}: {name}", "not defined there"
    for dotted in re.findall(r"(?<![\w./])batchgnn(?:\.\w+)+(?![\w/])", span):
        if not is_importable(dotted.split(".")[1:]):
            yield dotted, "no such module or name"


def is_importable(parts):
    """Whether these are folders of the package, then a module, then a name in it.

    A public name of the package stands for its module and itself.
    """
    if parts[0] in PUBLIC:
        parts = [*PUBLIC[parts[0]].split("."), *parts]
    path = PACKAGE
    for n, part in enumerate(parts):
        if not (path / part).is_dir():
            module, name = path / f"{part}.py", ".".join(parts[n + 1 :])
            if module.exists():
                return not name or name in defined_in(module)
            return ".".join(parts[n:]) in defined_in(path / "__init__.py")
        path /= part
    return True


def paths_in(span):
    """The words of a span that look like paths of the repository."""
    stripped = (word.strip("()[]\"',;:") for word in span.split())
    return [word for word in stripped if is_path(word)]


def is_path(word):
    """Whether a word is a file's or folder's name here, and no user's."""
    if not re.fullmatch(r"\.?\w[\w./*-]*", word) or "..." in word:
        return False
    if word.endswith(SOURCES):
        return True
    first, slash, _ = word.partition("/")
    return bool(slash) and first in top_folders() and not word.startswith(USERS)


@cache
def top_folders():
    """Names of the folders that a path may begin with."""
    tops = [path for path in ROOT.iterdir() if path.name in (".ci", "docs", "examples", "tests")]
    packages = [path.parent for top in (ROOT, PACKAGE) for path in top.glob("*/__init__.py")]
    return {path.name for path in (*tops, *packages)}


def folders(words):
    """The folders that these words name, or whose files they name."""
    for word in words:
        for path in found(word, []):
            yield path if path.is_dir() else path.parent


def found(word, around):
    """Files and folders of that name, relative to the root, to the package, or to one of `around`.

    Words in capitals, such as NAME, and * stand for any.
    """
    parts = [part if FILES_IN_CAPITALS.fullmatch(part) else PLACEHOLDER.sub("*", part)
             for part in word.rstrip("/").split("/")]  # fmt: skip
    return [path for folder in (ROOT, PACKAGE, *around) for path in folder.glob("/".join(parts))]


@cache
def defined_in(path):
    """Names that a module defines at its top, and those in its classes as Class.name."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        names |= set(_names(node))
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{inner}" for each in node.body for inner in _names(each)}
    return names


def _names(node):
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    inner = [each for target in targets if target is not None for each in ast.walk(target)]
    return [each.id for each in inner if isinstance(each, ast.Name)]


# Options


def options(text):
    """Every --option of the page."""
    return [
        Said(each[0], number)
        for number, line in enumerate(text.splitlines(), start=1)
        for each in OPTION.finditer(line)
    ]


DEFAULTS = [re.compile(each) for each in (
    rf"`(--[\w-]+) {VALUE}` \(default[),]",
    rf"`(--[\w-]+)`(?: \(|, )default:? {VALUE}",
    rf"`(--[\w-]+)`(?: \(|, )by default {VALUE}",
    rf"`(--[\w-]+)` defaults to {VALUE}",
    rf"`(--[\w-]+)` \({VALUE}(?: \w+)? by default",
    r"`(--[\w-]+)`, (on|off)\)",
)]  # fmt: skip
"How a page says a default in its text; the value is one word."


def defaults(text):
    """The defaults that the page states: in its text, in the cells of a table, or in a column."""
    return [each for block in blocks(text) for each in (*_in_text(block), *_in_table(block))]


def _in_text(block):
    for pattern in DEFAULTS:
        for each in pattern.finditer(block.text):
            is_code = f"`{each[2]}`" in each[0] or pattern is DEFAULTS[0]
            if is_code or NUMBER.fullmatch(each[2]) or each[2] in ("on", "off"):
                yield Default(each[1], each[2], block.line_of(each.start()))


def _in_table(block):
    """`VALUE` (default) below a head `--option`; a value in a column "default"."""
    if not block.text.startswith("|"):
        return
    head, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in block.lines)
    for number, row in enumerate(rows, start=block.first_line + 2):
        for title, cell in zip(head, row, strict=False):
            value = re.match(rf"{VALUE}(?:$| )", cell)
            above, first = OPTION.search(title), OPTION.search(row[0])
            if above and value and re.match(r"`[\w.]+` \(default[),]", cell):
                yield Default(above[0], value[1], number)
            elif title == "default" and first and value:
                yield Default(first[0], value[1], number)
