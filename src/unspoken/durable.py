"""Files and folders that are there whole or not at all, wherever the process or the machine stops.

A process that is killed leaves what it has written so far; a machine that loses power may lose all that was not
flushed. So everything is written under a hidden name (`.NAME.partial`), flushed, and then gets its own name by one
rename; and a folder that is to go loses its name before its files. What a killed process leaves under hidden names
means nothing, and the next one to write there removes it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path


def partial_name(final: Path) -> Path:
    """Where a file or folder is written before it has its name."""
    return final.with_name(f".{final.name}.partial")


def flush(path: Path) -> None:
    """Waits until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_tree(folder: Path) -> None:
    """Flushes a folder with all that is in it."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            flush_tree(path)
        else:
            flush(path)
    flush(folder)


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file, replacing what has its name: at every moment the old file or the new one is there."""
    partial = partial_name(path)
    try:
        partial.write_bytes(data)
        flush(partial)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    partial.replace(path)
    flush(path.parent)


def publish(partial: Path, final: Path) -> None:
    """Gives a finished folder its name, replacing what has it.

    At every moment the old folder or the new one has the name. Where the system cannot swap two names in one step, none
    has it for an instant; `restore` repairs what is killed just then.
    """
    flush_tree(partial)
    if not final.exists():
        partial.rename(final)
        flush(final.parent)
        return
    if swap(partial, final):
        flush(final.parent)
        shutil.rmtree(partial)
        return
    old = _old_name(final)
    shutil.rmtree(old, ignore_errors=True)
    final.rename(old)
    partial.rename(final)
    flush(final.parent)
    shutil.rmtree(old)


def restore(final: Path) -> None:
    """Puts back what a killed `publish` had set aside, and removes what it had not finished."""
    old = _old_name(final)
    if old.is_dir() and not final.exists():
        old.rename(final)
        flush(final.parent)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(partial_name(final), ignore_errors=True)


def remove(folder: Path) -> None:
    """Removes a folder: first its name, then its files."""
    old = _old_name(folder)
    shutil.rmtree(old, ignore_errors=True)
    folder.rename(old)
    shutil.rmtree(old)


def swap(one: Path, other: Path) -> bool:
    """Exchanges two names in one step; False, and nothing done, where the system or the file system cannot."""
    try:
        exchange = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    here, rename_exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
    done: int = exchange(here, os.fsencode(one), here, os.fsencode(other), rename_exchange)
    return done == 0


def _old_name(final: Path) -> Path:
    return final.with_name(f".{final.name}.old")
