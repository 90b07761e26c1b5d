"""The bytes of a text file in blocks of whole lines, and a block's lines for a reader of rows."""

import re
from codecs import BOM_UTF8
from collections import deque
from collections.abc import Callable, Iterator
from io import BytesIO, TextIOWrapper
from typing import BinaryIO

BLOCK_BYTES = 2 << 20
"Bytes that are looked at together: about 30 MiB if every cell has to become a Python text."

LINE_END = re.compile(rb"\r\n|\r|\n")


def blocks_of(file: BinaryIO, skip: int) -> Iterator[bytes]:
    """All bytes after the first `skip` lines and a mark of byte order, whole lines together.

    Lines end as in Python's text files: by \\n, \\r\\n or \\r. A line that is longer than a block
    makes a longer one.
    """
    rest, is_first = b"", True
    while data := file.read(BLOCK_BYTES):
        data, rest = rest + data, b""
        cut = data.rfind(b"\n") + 1 or data.rfind(b"\r", 0, -1) + 1
        block, rest = data[:cut], data[cut:]
        if is_first and cut:
            block, is_first = block.removeprefix(BOM_UTF8), False
        block, skip = _skipped(block, skip)
        if block:
            yield block
    rest, _ = _skipped(rest.removeprefix(BOM_UTF8) if is_first else rest, skip)
    if rest:
        yield rest


def _skipped(block: bytes, skip: int) -> tuple[bytes, int]:
    """(the block without `skip` lines, how many of them it did not have)."""
    at = 0
    while skip and at < len(block):
        found = LINE_END.search(block, at)
        at, skip = found.end() if found else len(block), skip - 1
    return block[at:], skip


class BlockLines:
    """The lines of a block; where a row goes on after its end, those of the blocks that follow."""

    def __init__(self, block: bytes, more: Iterator[bytes], line: Callable[[str], str]):
        """line: called with each line, returns what the reader gets."""
        self.more, self.line = more, line
        self.waiting = self._lines(block)

    def _lines(self, block: bytes) -> deque[str]:
        return deque(TextIOWrapper(BytesIO(block), encoding="utf-8", newline=""))

    def __iter__(self) -> Iterator[str]:
        """Itself."""
        return self

    def __next__(self) -> str:
        """The next line, of the next block where this one has no more."""
        while not self.waiting:
            self.waiting = self._lines(next(self.more))
        return self.line(self.waiting.popleft())
