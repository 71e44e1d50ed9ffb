"""Locks of open files: one process or thread at a time; a lock goes when its file is closed, or its process dies."""

from __future__ import annotations

from contextlib import suppress
from typing import IO, Any

from pipeline.errors import MissingLibraryError

fcntl: Any = None  # on Windows, which cannot lock so
with suppress(ImportError):
    import fcntl


def lock_file(file: IO[Any], *, wait: bool = True, shared: bool = False) -> None:
    """Lock an open file.

    Args:
        file: the lock is its.
        wait: until another gives it back; else BlockingIOError is raised.
        shared: with others that ask for it so.
    """
    refuse_without_locks()
    fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))


def refuse_without_locks() -> None:
    """Raise MissingLibraryError on a system that cannot lock files for the application."""
    if fcntl is None:
        raise MissingLibraryError("the application needs Linux or macOS; on Windows start it within WSL")
