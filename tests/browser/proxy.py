"""A small reverse proxy, as a lab might have in front: it signs a user in and passes everything on, WebSockets too.

It hands the host on as ``X-Forwarded-Host`` and asks the server under a name of its own, as many do. One request a
connection keeps it small.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socketserver import BaseRequestHandler, ThreadingTCPServer

USER_HEADER = "X-Remote-User"


@dataclass
class Proxy:
    """`user` may be changed at any time; `url` has no slash at its end."""

    url: str
    user: str = "ada"
    passed: list[str] = field(default_factory=list)
    """Request lines, as they came."""


@contextmanager
def proxying(port: int) -> Iterator[Proxy]:
    """A proxy in front of a server at this port."""

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            head, body = _head(self.request)
            if head:
                proxy.passed.append(head[0])
                with suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)) as server:
                    server.sendall(_rewritten(head, proxy.user) + body)
                    _pump_both_ways(self.request, server)

    ThreadingTCPServer.daemon_threads = True
    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as listening:
        proxy = Proxy(f"http://localhost:{listening.server_address[1]}")
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield proxy
        listening.shutdown()


def _head(connection: socket.socket) -> tuple[list[str], bytes]:
    """Lines of a request's head, and what came of its body with them."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            return [], b""
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n"), body


def _rewritten(head: list[str], user: str) -> bytes:
    """The head for the server: the user's name as the proxy knows it, whatever the browser says."""
    fields = [line.partition(": ")[::2] for line in head[1:]]
    upgrade = any(name.lower() == "upgrade" for name, _ in fields)
    kept = [(name, value) for name, value in fields if name.lower() not in ("host", USER_HEADER.lower())]
    if not upgrade:
        kept = [(name, value) for name, value in kept if name.lower() != "connection"] + [("Connection", "close")]
    public = next(value for name, value in fields if name.lower() == "host")
    kept += [("Host", "segmentation.internal"), ("X-Forwarded-Host", public), (USER_HEADER, user)]
    return "\r\n".join([head[0], *(f"{name}: {value}" for name, value in kept), "", ""]).encode("latin-1")


def _pump_both_ways(browser: socket.socket, server: socket.socket) -> None:
    back = threading.Thread(target=_pump, args=(server, browser), daemon=True)
    back.start()
    _pump(browser, server)
    back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
