"""A public place on a local web server: files as objects, as S3, Google's storage and plain HTTP give them.

It refuses requests that carry a signature, as nobody has keys for it, and counts what it sends. A file ``NAME.gz`` is
an object ``NAME`` that is stored packed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class PublicPlace:
    """What the server does and did.

    lists: whether it lists keys; one that does not denies what is missing, as public buckets do. failures: requests to
    answer with 503 first. ranges: whether parts of files are sent; some servers send them whole.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.url = folder, ""
        self.lists, self.ranges, self.failures = True, True, 0
        self.bytes_sent, self.requests = 0, 0

    @property
    def host(self) -> str:
        """Host and port."""
        return self.url.partition("://")[2]

    def urls(self, name: str) -> list[str]:
        """Of what lies in the folder ``bucket``, by each protocol."""
        return [f"s3://bucket/{name}", f"gs://bucket/{name}", f"{self.url}/bucket/{name}"]


@contextmanager
def serving(folder: Path) -> Iterator[PublicPlace]:
    """Serve the files of a folder; its folders are the buckets."""
    place = PublicPlace(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # many requests a connection
        wbufsize = -1  # head and body in one packet

        def do_GET(self) -> None:
            answer(self, place)

        do_HEAD = do_PUT = do_GET  # noqa: N815 - called so by the library

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    place.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield place
    finally:
        server.shutdown()
        server.server_close()


def answer(request: BaseHTTPRequestHandler, place: PublicPlace) -> None:
    """Answer as the place is told to."""
    place.requests += 1
    request.close_connection = request.command == "PUT"  # whose body nobody reads
    parts = urlsplit(request.path)
    path = place.folder / unquote(parts.path).strip("/")
    denied = b"<Error><Code>AccessDenied</Code></Error>"
    if place.failures > 0:
        place.failures -= 1
        _send(request, place, 503, b"")
    elif "Authorization" in request.headers or request.command == "PUT":
        _send(request, place, 403, denied)
    elif "list-type" in parts.query:
        prefix = parse_qs(parts.query).get("prefix", [""])[0]
        _send(request, place, *((200, _listed(path, prefix)) if place.lists else (403, denied)))
    elif (packed := path.with_name(f"{path.name}.gz")).is_file():
        _send(request, place, 200, packed.read_bytes(), encoding="gzip")
    elif not path.is_file():
        _send(request, place, 404 if place.lists else 403, b"<Error><Code>NoSuchKey</Code></Error>")
    else:
        _send_file(request, place, path.read_bytes())


def _send_file(request: BaseHTTPRequestHandler, place: PublicPlace, content: bytes) -> None:
    wanted = request.headers.get("Range")
    if wanted is None or not place.ranges:
        _send(request, place, 200, content)
        return
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    start = int(first) if first else len(content) - int(last)
    stop = min(int(last) + 1, len(content)) if first and last else len(content)
    _send(request, place, 206, content[start:stop], whole=content, start=start)


def _send(
    request: BaseHTTPRequestHandler,
    place: PublicPlace,
    code: int,
    content: bytes,
    whole: bytes | None = None,
    start: int = 0,
    encoding: str = "",
) -> None:
    if request.command != "HEAD":
        place.bytes_sent += len(content)  # before the client has it, and looks
    request.send_response(code)
    request.send_header("Content-Length", str(len(content)))
    request.send_header("Last-Modified", formatdate(0, usegmt=True))
    request.send_header("ETag", f'"{hashlib.md5(content if whole is None else whole).hexdigest()}"')
    if encoding:
        request.send_header("Content-Encoding", encoding)
    if whole is not None:
        request.send_header("Content-Range", f"bytes {start}-{start + len(content) - 1}/{len(whole)}")
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(content)


def _listed(bucket: Path, prefix: str) -> bytes:
    files = sorted(path for path in bucket.rglob("*") if path.is_file())
    keys = [(str(path.relative_to(bucket)), path) for path in files]
    entries = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{path.stat().st_size}</Size>"
        f'<ETag>"{hashlib.md5(path.read_bytes()).hexdigest()}"</ETag>'
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        for key, path in keys
        if key.startswith(prefix)
    )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode()
