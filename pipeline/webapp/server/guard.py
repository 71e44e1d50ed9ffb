"""What every request passes, and every answer carries, before anything else: names, origins, lengths, headers.

- A request under a name that is not ours is refused, so that no other site's name can be bound to this server
  (DNS rebinding).
- One that another site's page sends, and that could do something, is refused.
- One that gives its length in two ways is refused: a proxy in front may have read it as two.
- An answer says what a browser may do with it: no scripts, frames or pictures from elsewhere, no frame around it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.webapp.settings import Settings

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
EVERY_ADDRESS = ("0.0.0.0", "::", "")
PAGE_POLICY = (
    "default-src 'self'; script-src 'self' blob: {scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "frame-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""For Streamlit's pages: its styles stand in the page, its components are modules from blobs, and the few scripts that
stand in its page are known by their digests."""
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
"""For all that is no page."""
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """ASGI middleware that refuses such requests, and adds such headers where an answer has none of its own.

    page: the HTML into which Streamlit loads all of its pages.
    """

    def __init__(self, app: ASGIApp, settings: Settings, page: str) -> None:
        self.app = app
        self._policy = PAGE_POLICY.format(scripts=" ".join(_digest(script) for script in _INLINE.findall(page)))
        self._health = f"{settings.base_path}/healthz"
        self._closed = f"{settings.base_path}/_stcore/metrics"  # Streamlit's; metrics have a port of their own
        self._any_address = settings.host in EVERY_ADDRESS
        self._names = {*LOOPBACK, settings.host.lower(), *(name.lower() for name in settings.allowed_hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope, Headers(scope=scope))
        await (refusal or self.app)(scope, receive, self._with_headers(send))

    def _refusal(self, scope: Scope, headers: Headers) -> PlainTextResponse | None:
        if "content-length" in headers and "transfer-encoding" in headers:
            return PlainTextResponse("the request gives its length in two ways", 400, {"Connection": "close"})
        if scope["path"] == self._closed:
            return PlainTextResponse("there is nothing here", 404)
        if scope["path"] == self._health:  # asked by address, and tells nothing
            return None
        if not self._is_ours(headers.get("host", "")):
            text = "this server does not answer to that name; whoever runs it can allow it with --allowed-host"
            return PlainTextResponse(text, 421)
        if _from_another_site(scope, headers):
            return PlainTextResponse("requests from other sites are refused", 403)
        return None

    def _is_ours(self, host: str) -> bool:
        parts = _parts(f"//{host}")
        if parts is None or parts.netloc != host or "@" in host:  # more than a name and a port
            return False
        name = (parts.hostname or "").rstrip(".")
        return name in self._names or (self._any_address and _is_address(name))

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                # "Not modified" has no content: a browser would put its policy in place of that of the page it keeps.
                if message["status"] != HTTPStatus.NOT_MODIFIED:
                    is_page = headers.get("content-type", "").startswith("text/html")
                    headers.setdefault("Content-Security-Policy", self._policy if is_page else DATA_POLICY)
            await send(message)

        return sending


def _digest(script: str) -> str:
    """How a policy names a script by its content."""
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"


def _is_address(name: str) -> bool:
    """Whether a name is an address itself, to which no other name can be bound."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _from_another_site(scope: Scope, headers: Headers) -> bool:
    """Whether a page of another origin sent a request that could do something."""
    origin = headers.get("origin")
    if origin is None or scope.get("method") in SAFE_METHODS:
        return False
    parts = _parts(origin)
    return parts is None or parts.netloc != headers.get("host")


def _parts(url: str) -> SplitResult | None:
    """The parts of a URL; None of what is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is no number
    except ValueError:
        return None
    return parts
