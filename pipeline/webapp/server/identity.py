"""Who asks: an owner and a network address for all routes, by the cookie or by what a proxy in front hands on."""

from __future__ import annotations

from ipaddress import ip_network

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.webapp.owners import COOKIE, Owners, address_of, network_of
from pipeline.webapp.settings import Settings


class Proxies:
    """ASGI middleware that believes what trusted proxies in front hand on: address, public name, scheme, user.

    Of anybody else such headers are removed. ``scope["client"]`` becomes the address of the browser.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._trusted = [ip_network(each, strict=False) for each in settings.trusted_proxies]
        self._user_header = settings.user_header

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] in ("http", "websocket"):
            headers = MutableHeaders(scope=scope)
            if self._trusts((scope.get("client") or ("", 0))[0]):
                self._believe(scope, headers)
            else:
                distrusted = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]
                if self._trusted and self._user_header:
                    distrusted.append(self._user_header)
                for name in distrusted:
                    del headers[name]
        await self.app(scope, receive, send)

    def _believe(self, scope: Scope, headers: MutableHeaders) -> None:
        named = [each.strip() for each in ",".join(headers.getlist("x-forwarded-for")).split(",") if each.strip()]
        others = [each for each in named if not self._trusts(each)]
        if others:
            scope["client"] = (others[-1], 0)  # what comes before it is what the browser says of itself
        public = headers.get("x-forwarded-host", "").split(",")[0].strip()
        if public:
            headers["host"] = public

    def _trusts(self, text: str) -> bool:
        address = address_of(text)
        return address is not None and any(address in network for network in self._trusted)


class Identity:
    """ASGI middleware that sets ``request.state.owner`` and, where users are not signed in, ``request.state.address``.

    A browser that opens a page gets its session's cookie.
    """

    def __init__(self, app: ASGIApp, owners: Owners, path: str) -> None:
        self.app = app
        self.owners = owners
        self.path = path or "/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] in ("http", "websocket"):
            connection = HTTPConnection(scope)
            state = scope.setdefault("state", {})
            state["owner"] = self.owners.of(connection.headers, connection.cookies)
            signed_in = self.owners.user_header is not None
            state["address"] = "" if signed_in else network_of(connection.client.host if connection.client else None)
            if self.owners.user_header is None and _opens_a_page(scope, connection.headers):
                cookie = self.owners.cookie(connection.cookies)
                send = send if cookie is None else self._with_cookie(send, connection, cookie)
        await self.app(scope, receive, send)

    def _with_cookie(self, send: Send, connection: HTTPConnection, value: str) -> Send:
        cookie = Response()
        cookie.set_cookie(
            COOKIE,
            value,
            max_age=int(self.owners.session_seconds),
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


def owner_of(request: Request) -> str:
    """Who asks; nobody gets 401."""
    owner: str | None = request.state.owner
    if owner is None:
        raise HTTPException(401, "open the application's page first: this request does not say who sends it")
    return owner


def _opens_a_page(scope: Scope, headers: Headers) -> bool:
    return scope.get("method") == "GET" and "text/html" in headers.get("accept", "")
