"""A seal before an HDF5 file: a checksum of all its bytes, looked at before HDF5 parses any.

HDF5 does not notice damage, and may follow a damaged file for ever. Its files may begin with a
block of the user's own; the seal is there. It is for files that are written once and read whole:
manifests and models when they are opened, graph stores by `verify` and `partition`.
"""

import hashlib
from pathlib import Path

from batchgnn.base.errors import StoreError

BLOCK_BYTES = 512
"The least that HDF5 leaves to the user."
MAGIC = b"batchgnn seal 1\n"
HDF5 = b"\x89HDF\r\n\x1a\n"
CHUNK_BYTES = 16 << 20


def seal(path: Path) -> None:
    """Write the checksum of a file that `create_store` made with a seal, in place."""
    block = _block(path)
    with path.open("r+b") as file:
        file.write(block)


def check_seal(path: Path, remedy: str) -> None:
    """Raise StoreError unless every byte of a file that has a seal is as it was written.

    Says nothing of what has none, or cannot be read: whoever opens it does.
    """
    try:
        with path.open("rb") as file:
            block = file.read(BLOCK_BYTES)
            begins_later = file.read(len(HDF5)) == HDF5 and not block.startswith(HDF5)
    except OSError:
        return
    if (begins_later or block.startswith(MAGIC)) and block != _block(path):
        raise _damaged(path, remedy)


def _damaged(path: Path, remedy: str) -> StoreError:
    return StoreError(
        f"{path} is damaged, or was changed after it was written: its checksum is not the one at "
        f"its beginning. {remedy}"
    )


def _block(path: Path) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        file.seek(BLOCK_BYTES)
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return (MAGIC + digest.hexdigest().encode() + b"\n").ljust(BLOCK_BYTES, b"\0")
