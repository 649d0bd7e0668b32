"""One process at a time in a run folder.

The lock is the system's own (`flock`): it ends with the process that holds it, however that ends. The file it is on
tells who that is; one that was left behind means nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
from pathlib import Path
from types import TracebackType
from typing import Self, final

FILE_NAME = ".lock"
_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)

log = logging.getLogger(__name__)


@final
class FolderLock:
    """Holds a folder until the `with` ends. Threads and forks of a process do not share it.

    Raises:
        ValueError: another process holds it.
        OSError: the folder is not there, or nothing can be written into it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """The folder; whoever renames it while it is locked says so here."""
        self._descriptor = self._take()
        os.ftruncate(self._descriptor, 0)
        # Only whom to blame; a full disk must not be the reason that nobody gets in.
        with contextlib.suppress(OSError):
            os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def _take(self) -> int:
        path = self.folder / FILE_NAME
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(descriptor, 32).decode(errors="replace").strip()
                os.close(descriptor)
                raise ValueError(
                    f"{self.folder} is in use by another process{f' ({holder})' if holder else ''}; wait until it has "
                    "ended, or stop it"
                ) from None
            except OSError as error:
                if error.errno not in _WITHOUT_LOCKS:
                    os.close(descriptor)
                    raise
                log.warning(f"{self.folder}: this file system has no locks; do not train twice in this folder")
            # Whoever held it may have removed the file between the two calls above.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Removed while it is still held: nobody can have locked this very file in the meantime.
        with contextlib.suppress(OSError):
            (self.folder / FILE_NAME).unlink()
        os.close(self._descriptor)
