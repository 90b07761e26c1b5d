"""What the operating system refuses, in a sentence: a full or read-only disk, no permission, a name
that is too long, a file where a folder should be, a folder that is gone, a closed pipe.

HDF5 hides the number of the error in its text. A number that is not listed is a fault of the
program, and keeps its traceback.
"""

import errno
import re
import shutil
from pathlib import Path

from batchgnn.base.bytes import format_bytes
from batchgnn.base.errors import StoreError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
HIDDEN = re.compile(r"errno = (\d+)")
FAILS = "the disk, or the server that it belongs to, fails", "Look at it, or choose another disk"
DENIED = "this user has no permission", "Ask whom it belongs to, or choose another path"
MANY = "too many files are open", "Allow more: ulimit -n 65536"
THERE = "something is there already", "Choose another name, or remove it first"

REASONS = {
    errno.EROFS: ("its file system is read-only", "Choose a path on another disk"),
    errno.EACCES: DENIED,
    errno.EPERM: DENIED,
    errno.ENAMETOOLONG: ("the name is too long", "Choose a shorter one"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "Choose another path"),
    errno.EISDIR: ("it is a folder, not a file", "Choose another path"),
    errno.ENOENT: ("it is not there, or its folder is gone", "Look at the path"),
    errno.EEXIST: THERE,
    errno.ENOTEMPTY: THERE,
    errno.ELOOP: ("its links lead in a circle", "Choose another path"),
    errno.EIO: FAILS,
    errno.ESTALE: FAILS,
    errno.ETIMEDOUT: FAILS,
    errno.EMFILE: MANY,
    errno.ENFILE: MANY,
    errno.EPIPE: ("its reader has closed the pipe", "Print to a file, or to one that reads all"),
}
"Number: what is wrong, what to do."


def number_of(error: BaseException) -> int | None:
    """The operating system's number of an error, HDF5's too."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    hidden = HIDDEN.search(str(error)) if isinstance(error, OSError | RuntimeError) else None
    return int(hidden[1]) if hidden else None


def refused(error: BaseException, path: Path | None = None) -> StoreError | None:
    """The sentence for an error of the operating system; None where it is none to be told so.

    path: what was to be written; by default what the error names
    """
    number, named = number_of(error), getattr(error, "filename", None)
    where = path or (None if named is None else Path(str(named)))
    if number in NO_ROOM:
        return no_room(where)
    if number not in REASONS:
        return None
    why, remedy = REASONS[number]
    if where is None and number == errno.ENOENT:
        return StoreError(f"{getattr(error, 'strerror', None) or error}.")
    return StoreError(f"{_shown(where)}{why}. {remedy}.")


def no_room(path: Path | None) -> StoreError:
    """What to raise when something could not be written for want of space."""
    free = ""
    if path is not None:
        folder = next((each for each in path.absolute().parents if each.is_dir()), Path("/"))
        free = f"; {format_bytes(shutil.disk_usage(folder).free)} are free on that disk"
    return StoreError(
        f"{_shown(path)}no room to write it{free}. Nothing was left behind. Free some space, raise "
        "the quota, or choose a path on another disk"
    )


def _shown(path: Path | None) -> str:
    """The path, and a name that is too long in short."""
    if path is None:
        return "what is printed cannot be written: "
    text = str(path)
    return f"{text if len(text) < 500 else f'{text[:60]}...{text[-20:]}'}: "
