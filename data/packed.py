"""Files of text, opened by their first bytes: plain or packed; other formats are named.

A name's ending says nothing: `E.CSV.GZ`, `edges.txt` that is packed and a Parquet file of any name
are what their first bytes say.
"""

import bz2
import gzip
import importlib
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from batchgnn.base.errors import ConfigError, DataError

PARQUET_MAGIC = b"PAR1"
NUM_MAGIC_BYTES = 64


def _zstd(raw: BinaryIO) -> Any:
    """By pyarrow; raises ConfigError without it."""
    try:
        pyarrow = importlib.import_module("pyarrow")
    except ImportError as error:
        raise ConfigError(
            f"{raw.name}: reading what zstd packed needs pyarrow: pip install 'batchgnn[parquet]'; "
            "or unpack it first: zstd -d"
        ) from error
    return pyarrow.CompressedInputStream(raw, "zstd")


UNPACK: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=raw),
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": _zstd,
    **{b"BZh%d1AY&SY" % level: bz2.BZ2File for level in range(1, 10)},
}
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)

UNPACK_FIRST = "Unpack it first"
OTHERS = {
    b"PK\x03\x04": (
        "a zip archive",
        "Unpack it first; an .npz archive is read by batchgnn data convert npz",
    ),
    b"7z\xbc\xaf": ("a 7z archive", UNPACK_FIRST),
    b"\x89HDF": ("an HDF5 file", "Save the table as CSV or Parquet"),
    b"\x93NUMPY": ("an .npy array", "Save it as an .npz archive: batchgnn data convert npz"),
    b"ARROW1\x00\x00": ("an Arrow file", "Save the table as CSV or Parquet"),
    b"Obj\x01": ("an Avro file", "Save the table as CSV or Parquet"),
    b"\x80": ("a pickle", "Save the table as CSV or Parquet"),
    b"\xff\xfe": ("UTF-16 text", "Save it as UTF-8"),
    b"\xfe\xff": ("UTF-16 text", "Save it as UTF-8"),
}
"First bytes of what is no table of text: (what it is, what to do)."

MARKUP = {
    "%%matrixmarket": (
        "a MatrixMarket file, whose size line is no edge and whose vertices count from 1",
        "Convert it: A = scipy.io.mmread(FILE).tocsr(); np.savez('g.npz', indptr=A.indptr, "
        "indices=A.indices, edge_weight=A.data); then batchgnn data convert npz",
    ),
    "*vertices": ("a Pajek file", "Save the edges as CSV"),
    "*network": ("a Pajek file", "Save the edges as CSV"),
    "<?xml": ("an XML file (as GraphML and GEXF are)", "Save the edges as CSV"),
    "<graphml": ("a GraphML file", "Save the edges as CSV"),
    "<gexf": ("a GEXF file", "Save the edges as CSV"),
    "<!doctype": ("an HTML page, perhaps an error of the download", "Download it again"),
    "<html": ("an HTML page, perhaps an error of the download", "Download it again"),
    "graph [": ("a GML file", "Save the edges as CSV"),
    "graph {": ("a DOT file", "Save the edges as CSV"),
    "digraph ": ("a DOT file", "Save the edges as CSV"),
    "@relation": ("an ARFF file", "Save the table as CSV"),
    "version https://git-lfs": ("a pointer of Git LFS, not the file", "Fetch it: git lfs pull"),
    '{"': ("JSON", "Save the table as CSV"),
    "[{": ("JSON", "Save the table as CSV"),
    "[[": ("JSON", "Save the table as CSV"),
}
"Beginnings of text, in lower case, that is no table."


def first_bytes(path: Path) -> bytes:
    """The first bytes of a file; raises DataError when it may not be read."""
    try:
        with path.open("rb") as file:
            return file.read(NUM_MAGIC_BYTES)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error


def unpacked(raw: BinaryIO, path: Path) -> IO[bytes]:
    """The plain bytes of a file that is open at its beginning; raises DataError for no text."""
    begin = raw.read(NUM_MAGIC_BYTES)
    raw.seek(0)
    for magic, (what, remedy) in OTHERS.items():
        if begin.startswith(magic):
            raise DataError(f"{path} is {what}, needed a table of text or Parquet. {remedy}")
    for magic, unpack in UNPACK.items():
        if begin.startswith(magic):
            return cast(IO[bytes], unpack(raw))
    return raw


def refuse_markup(line: str, path: Path) -> None:
    """Raise DataError when a file's first line says that it is no table."""
    for begin, (what, remedy) in MARKUP.items():
        if line.lstrip("\ufeff ").lower().startswith(begin):
            raise DataError(f"{path} is {what}, needed a table. {remedy}")
