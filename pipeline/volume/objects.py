"""Object storage through obstore: which client serves a place, and what its errors mean to the user."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, S3Store

from pipeline.errors import InputError, StorageError

# object_store stages a local write as "<name>#<n>" and renames it when it is complete.
STAGED = re.compile(r"#\d+$")


def local_directory(url_or_path: str | Path) -> Path | None:
    """The absolute directory that a path or ``file://`` URL names; None for a remote URL."""
    text = str(url_or_path)
    if "://" not in text:
        return Path(text).expanduser().absolute()
    parts = urlsplit(text)
    if parts.scheme != "file":
        return None
    if parts.netloc not in ("", "localhost"):
        raise InputError(f"{text}: a file:// URL names no host; write file:///absolute/path")
    return Path(unquote(parts.path))


def s3_client(url: str) -> S3Store:
    """A client for ``s3://bucket/prefix``; keys, region and endpoint come from the AWS_* environment.

    Addressing is path-style, as MinIO, Ceph and other S3-compatible servers need it.
    """
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc:
        raise InputError(f"{url}: not a place that can be opened; use a path, file:///path or s3://bucket/prefix")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return S3Store(
        parts.netloc,
        prefix=parts.path.strip("/") or None,
        region=region,
        virtual_hosted_style_request=False,
        client_options={"allow_http": endpoint.startswith("http://")},
    )


def local_client(directory: Path) -> LocalStore:
    """A client for a directory that exists."""
    return LocalStore(directory)


@contextmanager
def storage_errors(place: str) -> Iterator[None]:
    """Turn what obstore raises into our errors; FileNotFoundError passes through.

    A refused permission is the user's to mend, so it is an InputError; all else may pass by itself.
    """
    try:
        yield
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
        raise InputError(f"{place}: access denied ({_first_line(error)}); check permissions or AWS_* keys") from error
    except (BaseError, OSError) as error:
        if "NoSuchBucket" in str(error):
            raise InputError(f"{place}: no such bucket; create it, or check the URL and AWS_ENDPOINT_URL") from error
        if isinstance(error, FileNotFoundError):
            raise
        raise StorageError(f"{place}: {_first_line(error)}; check free space and connection") from error


def remove_staged(target: Path) -> None:
    """Remove what a killed process left staged for `target`, of which the caller is the only writer."""
    for sibling in target.parent.glob(f"{_escaped(target.name)}#*"):
        if STAGED.search(sibling.name):
            sibling.unlink(missing_ok=True)


def _escaped(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def _first_line(error: BaseException) -> str:
    # obstore appends a Rust debug dump after a blank line.
    return str(error).split("\n", 1)[0]
