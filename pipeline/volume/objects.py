"""Object storage through obstore: which client serves a place, and what its errors mean to the user."""

from __future__ import annotations

import gzip
import os
import re
import urllib.request
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError, NotSupportedError, PermissionDeniedError, UnauthenticatedError
from obstore.store import GCSStore, HTTPStore, LocalStore, S3Store

from pipeline.errors import DataError, InputError, StorageError

if TYPE_CHECKING:
    from obstore.store import ClientConfig

DESCRIPTIONS = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "attributes.json", "info", "zarr.json")
"""Names of what says how a volume is stored in many objects."""
_METADATA_SECONDS = 1.0
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


Client = LocalStore | S3Store | GCSStore | HTTPStore


def remote_client(url: str) -> S3Store | GCSStore | HTTPStore:
    """A client for a remote place: ``s3://``, ``gs://`` and, to be read only, ``https://`` and ``http://``.

    Keys, region and endpoint come from the environment (AWS_*, GOOGLE_*); without keys a public place is read
    anonymously. Requests that fail are tried again, for three minutes at most.
    """
    parts = urlsplit(url)
    prefix = parts.path.strip("/") or None
    if parts.scheme == "s3" and parts.netloc:
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        return S3Store(
            parts.netloc,
            prefix=prefix,
            region=region,
            virtual_hosted_style_request=False,  # as MinIO, Ceph and other S3-compatible servers need it
            client_options={"allow_http": endpoint.startswith("http://")},
            skip_signature=is_anonymous(url),
        )
    if parts.scheme == "gs" and parts.netloc:
        emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
        return GCSStore(
            parts.netloc,
            prefix=prefix,
            client_options={"allow_http": True} if emulator.startswith("http://") else _AS_STORED,
            config={"base_url": emulator} if emulator else None,
            skip_signature=is_anonymous(url),
        )
    if parts.scheme in ("https", "http") and parts.netloc:
        as_stored = _AS_STORED if parts.hostname == _GOOGLE_HOST else {}
        return HTTPStore(url, client_options={"allow_http": parts.scheme == "http", **as_stored})
    raise InputError(
        f"{url}: not a place that can be opened; use a path, file:///path, s3://bucket/prefix, gs://bucket/prefix or "
        "https://host/path"
    )


# Google's storage unpacks what was stored packed by gzip for whoever does not ask for it packed, and then states
# neither length nor tag, without which object_store reads nothing (its issue 774).
_GOOGLE_HOST = "storage.googleapis.com"
_AS_STORED: ClientConfig = {"default_headers": {"accept-encoding": "gzip"}, "http1_only": False}


_ENCODINGS_OF_TRANSFER = ("", "identity", "aws-chunked")
"""That leave an object as it is; some S3-compatible servers store the name of the last with it."""


def unpacked(content: bytes, attributes: Mapping[Any, Any], place: str) -> bytes:
    """An object without the packing that its ``Content-Encoding`` names, which is not its format's.

    Raises DataError for a packing that is not known, or damaged.
    """
    stated = str(attributes.get("Content-Encoding") or "").lower().replace(" ", "").split(",")
    packed = [encoding for encoding in stated if encoding not in _ENCODINGS_OF_TRANSFER]
    if not packed:
        return content
    if packed != ["gzip"]:
        raise DataError(
            f"{place}: is packed by {', '.join(packed)} (Content-Encoding); store it as it is, or with gzip"
        )
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{place}: its gzip is damaged ({error}); copy or export it again") from error


def is_denied_as_missing(url: str, key: str) -> bool:
    """Whether a refusal to hand out an object may mean that there is none.

    A public place that must not be listed refuses what is not there. For a description of a volume that means that
    there is none; a chunk that is refused is an error.
    """
    return local_directory(url) is None and key.rsplit("/", 1)[-1] in DESCRIPTIONS and is_anonymous(url)


def is_anonymous(url: str) -> bool:
    """Whether requests to a remote place carry no signature: there are no keys in the environment, nor a role."""
    scheme, known = urlsplit(url).scheme, os.environ
    if scheme == "s3":
        if known.get("AWS_SKIP_SIGNATURE", "").lower() in ("true", "1"):
            return True
        return not any(known.get(name) for name in _AWS_KEYS) and not _has_role(*_AWS_METADATA)
    if scheme == "gs":
        saved = Path.home() / ".config/gcloud/application_default_credentials.json"
        has_keys = any(known.get(name) for name in _GOOGLE_KEYS) or saved.is_file()
        return not has_keys and not _has_role(*_GOOGLE_METADATA)
    return True


_AWS_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_GOOGLE_KEYS = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
)
# What machines of the two clouds learn their keys from; elsewhere nobody answers.
_AWS_METADATA = (
    "PUT",
    "http://169.254.169.254/latest/api/token",
    "X-aws-ec2-metadata-token-ttl-seconds",
    "60",
)
_GOOGLE_METADATA = ("GET", "http://169.254.169.254/computeMetadata/v1/", "Metadata-Flavor", "Google")


@cache
def _has_role(method: str, url: str, header: str, value: str) -> bool:
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return False
    asked = urllib.request.Request(url, method=method, headers={header: value})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(asked, timeout=_METADATA_SECONDS) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


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
        raise InputError(
            f"{place}: access denied ({_first_line(error)}); check permissions or {_keys(place)}"
        ) from error
    except NotSupportedError as error:
        raise InputError(
            f"{place}: this server hands out no parts of files ({_first_line(error)}), which shards need; serve them "
            "by another one, or copy them to a folder"
        ) from error
    except (BaseError, OSError) as error:
        if "NoSuchBucket" in str(error):
            raise InputError(f"{place}: no such bucket; create it, or check the URL and AWS_ENDPOINT_URL") from error
        if isinstance(error, FileNotFoundError):
            raise
        if isinstance(error, NotADirectoryError):
            raise InputError(f"{place}: a file stands where a folder is needed; choose another place") from error
        check = "free space" if local_directory(place) else "the connection and the address"
        raise StorageError(f"{place}: {_first_line(error)}; check {check}") from error


def _keys(place: str) -> str:
    """What opens a place that refused."""
    names = {"s3": "AWS_* keys", "gs": "GOOGLE_APPLICATION_CREDENTIALS"}.get(urlsplit(place).scheme)
    if names is None:
        return "the address"
    return f"{names} (there are none: it was asked as a public place)" if is_anonymous(place) else names


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
