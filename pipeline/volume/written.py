"""What was written: digests of objects, taken while their bytes pass, so that nothing has to be read again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Written = dict[str, tuple[int, str] | None]
"""URL of an object -> its bytes and digest; None where it was found to be empty, and is not there."""

_WRITTEN: ContextVar[Written | None] = ContextVar("written", default=None)


@contextmanager
def recorded() -> Iterator[Written]:
    """All that is written while this is open, by this thread and by zarr on its behalf; the last write counts."""
    written: Written = {}
    token = _WRITTEN.set(written)
    try:
        yield written
    finally:
        _WRITTEN.reset(token)


def record(url: str, data: bytes | memoryview) -> None:
    """An object was written."""
    written = _WRITTEN.get()
    if written is not None:
        written[url] = len(data), digest_of(data)


def record_empty(url: str) -> None:
    """A shard of an array is empty, and has no object."""
    written = _WRITTEN.get()
    if written is not None:
        written[url] = None


def record_removed(url: str) -> None:
    """An object, or all below a prefix, was removed."""
    written = _WRITTEN.get()
    if written is not None:
        for key in [key for key in written if key == url or key.startswith(url.rstrip("/") + "/")]:
            del written[key]


def digest_of(data: bytes | memoryview) -> str:
    """By which an object is known again."""
    return hashlib.sha256(data).hexdigest()[:32]
