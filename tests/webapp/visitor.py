"""A browser as far as the server can tell: somebody who asks over HTTP, with a cookie of their own."""

from __future__ import annotations

import http.client
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from appserver import AppServer

PIECE = "application/offset+octet-stream"


@dataclass
class Visitor:
    """A browser of its own, as far as the server can tell."""

    server: AppServer
    cookie: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Send a request; status, headers and content of the answer."""
        connection = http.client.HTTPConnection(urlsplit(self.server.url).netloc, timeout=60)
        cookie = {"Cookie": self.cookie} if self.cookie else {}
        connection.request(method, path, body, cookie | self.headers | (headers or {}))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.headers, content

    def open_page(self) -> Visitor:
        """Load the first page, which brings the cookie."""
        _, headers, _ = self.ask("GET", "/", {"Accept": "text/html"})
        self.cookie = headers["set-cookie"].partition(";")[0]
        return self

    def begin(self, size_bytes: int, name: str = "stack.zip") -> str:
        """Announce a file; the path of its upload."""
        metadata = f"filename {b64encode(name.encode()).decode()}"
        status, headers, content = self.ask(
            "POST", "/api/uploads", {"Upload-Length": str(size_bytes), "Upload-Metadata": metadata}
        )
        assert status == 201, content
        return headers["location"]

    def send(self, upload: str, offset: int, piece: bytes) -> int:
        """Send a piece; the status of the answer."""
        return self.ask("PATCH", upload, {"Upload-Offset": str(offset), "Content-Type": PIECE}, piece)[0]

    def received(self, upload: str) -> int:
        """How much the server has."""
        status, headers, _ = self.ask("HEAD", upload)
        assert status == 200
        return int(headers["upload-offset"])
