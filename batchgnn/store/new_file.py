"""New HDF5 files whose every failure is raised where it happens, and that end in order.

HDF5 keeps small data back until a dataset is closed, where h5py cannot raise: a full disk would go
unnoticed. And a file that it could not close crashes the process when that ends. So no data are
kept back here; the disk's space is reserved before HDF5 writes what is left; and what a file that
failed has yet to write goes to memory, and with it away.
"""

import contextlib
import ctypes
import errno
import os
import resource
from collections.abc import Iterator
from types import TracebackType

import h5py

LIBC, KEEP_SIZE = ctypes.CDLL(None, use_errno=True), 1
CANNOT = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class NewFile(h5py.File):
    """A file to write once, which must not exist; leaving the block closes it."""

    def __init__(self, path: str | os.PathLike, alignment: int, block: int | None = None):
        """Create it; raises OSError.

        alignment: bytes, of which every dataset begins at a multiple
        block: bytes at its beginning that HDF5 leaves alone; None: none
        """
        create = h5py.h5p.create(h5py.h5p.FILE_CREATE)
        if block is not None:
            create.set_userblock(block)
        access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
        access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
        access.set_libver_bounds(h5py.h5f.LIBVER_EARLIEST, h5py.h5f.LIBVER_LATEST)
        access.set_alignment(1, alignment)
        access.set_sieve_buf_size(0)
        access.set_file_locking(False, False)
        super().__init__(h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_EXCL, create, access))

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it; after a failure without a trace of it in the file."""
        if kind is not None and self.id.valid:
            self._let_go()
        else:
            self.close()

    def close(self) -> None:
        """Write what is left and close it; raises OSError where there is no room for it."""
        if not self.id.valid:
            return
        try:
            _reserve(self.id.get_vfd_handle(), self.id.get_filesize())
        except OSError:
            self._let_go()
            raise
        super().close()

    def _let_go(self) -> None:
        """Give HDF5 a file in memory in place of the one on the disk, and close that."""
        memory = os.memfd_create("let go")
        try:
            os.dup2(memory, self.id.get_vfd_handle(), inheritable=False)
        finally:
            os.close(memory)
        with _files_of_any_size():
            super().close()


def _reserve(file: int, size: int) -> None:
    """Reserve a file's first bytes and leave its size; raises OSError when the disk is full.

    Nothing on file systems that cannot.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if 0 <= soft < size:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    arguments = ctypes.c_int(file), ctypes.c_int(KEEP_SIZE), ctypes.c_int64(0), ctypes.c_int64(size)
    if LIBC.fallocate(*arguments) and (number := ctypes.get_errno()) not in CANNOT:
        raise OSError(number, os.strerror(number))


@contextlib.contextmanager
def _files_of_any_size() -> Iterator[None]:
    """Lift a limit of files' sizes, as far as this process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
