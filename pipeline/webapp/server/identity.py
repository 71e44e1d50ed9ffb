"""Who asks, before anything else sees the request: an owner for all routes, and no request that another site sent."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.webapp.owners import COOKIE, COOKIE_SECONDS, Owners

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class Identity:
    """ASGI middleware that sets ``request.state.owner``; a browser that opens a page without a cookie gets one."""

    def __init__(self, app: ASGIApp, owners: Owners, path: str) -> None:
        self.app = app
        self.owners = owners
        self.path = path or "/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        _take_the_hosts_public_name(scope, connection.headers)
        if _from_elsewhere(scope, HTTPConnection(scope).headers):
            await PlainTextResponse("requests from other sites are refused", 403)(scope, receive, send)
            return
        owner = self.owners.of(connection.headers, connection.cookies)
        scope.setdefault("state", {})["owner"] = owner
        if owner is None and self.owners.user_header is None and _opens_a_page(scope, connection.headers):
            send = self._with_cookie(send, connection)
        await self.app(scope, receive, send)

    def _with_cookie(self, send: Send, connection: HTTPConnection) -> Send:
        cookie = Response()
        cookie.set_cookie(
            COOKIE,
            self.owners.new_cookie(),
            max_age=COOKIE_SECONDS,
            path=self.path,
            secure="https" in (connection.url.scheme, connection.headers.get("x-forwarded-proto")),
            httponly=True,
            samesite="lax",
        )

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", cookie.headers["set-cookie"])
            await send(message)

        return sending


def _take_the_hosts_public_name(scope: Scope, headers: Headers) -> None:
    """Give the request the name that the browser knows the server by, which some proxies hand on beside their own."""
    public = headers.get("x-forwarded-host", "").split(",")[0].strip()
    if public:
        MutableHeaders(scope=scope)["host"] = public


def _from_elsewhere(scope: Scope, headers: Headers) -> bool:
    """Whether a page of another origin sent a request that could do something."""
    origin = headers.get("origin")
    if origin is None or scope.get("method") in SAFE_METHODS:
        return False
    return urlsplit(origin).netloc != headers.get("host")


def _opens_a_page(scope: Scope, headers: Headers) -> bool:
    return scope.get("method") == "GET" and "text/html" in headers.get("accept", "")
