"""One user against another, through the real server: read, delete, fill the disk and the queue, frame, rebind.

All is refused, and the others' uploads, jobs and pages go on. What the protocol (tus 1.0) answers to nonsense is here,
too. That jobs cannot be read, cancelled or deleted by others is in test_webapp_store and test_webapp_server.
"""

from __future__ import annotations

import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from appserver import AppServer, serving
from tinystudy import place
from visitor import PIECE, Visitor

from pipeline.run.layout import Run

MB = 1_000_000
LIMITS = {
    "waiting_per_owner": 3,
    "owners_per_address": 2,
    "waiting_in_all": 8,
    "owner_quota_bytes": 4 * MB,
    "quota_bytes": 10 * MB,
    "trusted_proxies": "127.0.0.1",
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """A server without a proxy, with the limits that sites begin with."""
    with serving(place(finished), tmp_path_factory.mktemp("app")) as running:
        yield running


@pytest.fixture
def narrow(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """A server with little room, behind a proxy that hands on addresses."""
    with serving(place(finished), tmp_path_factory.mktemp("app"), **LIMITS) as running:
        yield running


@pytest.fixture
def visitor(server: AppServer) -> Visitor:
    """Somebody who has opened the page."""
    return Visitor(server).open_page()


def at(server: AppServer, address: str) -> Visitor:
    """Somebody with a fresh cookie, at an address as the proxy sees it."""
    return Visitor(server, headers={"X-Forwarded-For": address}).open_page()


def announce(visitor: Visitor, size: object, name: bytes = b"stack.zip", **headers: str) -> int:
    """The status of the answer to a new upload."""
    given = {"Upload-Length": str(size), "Upload-Metadata": f"filename {b64encode(name).decode()}"}
    return visitor.ask("POST", "/api/uploads", given | headers)[0]


def test_free_cookies_do_not_multiply_the_uploads(narrow: AppServer) -> None:
    greedy = [at(narrow, "192.0.2.1") for _ in range(4)]
    assert [announce(greedy[0], 1000) for _ in range(4)] == [201, 201, 201, 422]  # by owner
    assert [announce(greedy[1], 1000) for _ in range(3)] == [201, 201, 201]
    assert announce(greedy[2], 1000) == 422  # by address
    forged = Visitor(narrow, greedy[3].cookie, {"X-Forwarded-For": "198.51.100.9, 192.0.2.1"})
    assert announce(forged, 1000) == 422  # what the browser says of itself does not count
    assert announce(at(narrow, "198.51.100.2"), 1000) == 201
    assert announce(at(narrow, "198.51.100.3"), 1000) == 201
    assert announce(at(narrow, "198.51.100.4"), 1000) == 422  # in all


def test_nobodys_files_take_the_room_of_anothers(narrow: AppServer) -> None:
    content = bytes(2 * MB)
    careful = at(narrow, "198.51.100.2")
    kept = careful.begin(len(content))
    assert careful.send(kept, 0, content) == 204
    greedy = [at(narrow, "192.0.2.1") for _ in range(3)]
    assert [announce(greedy[0], 2 * MB) for _ in range(3)] == [201, 201, 413]  # by owner, as announced
    assert [announce(greedy[1], 2 * MB) for _ in range(2)] == [201, 201]
    assert announce(greedy[2], 1) == 413  # by address
    assert announce(at(narrow, "198.51.100.3"), MB) == 507  # in all
    assert careful.received(kept) == len(content)


def test_addresses_are_believed_of_trusted_proxies_alone(finished: Run, server: AppServer) -> None:
    for number in range(3):
        visitor = Visitor(server, headers={"X-Forwarded-Host": "evil.example", "X-Forwarded-For": f"192.0.2.{number}"})
        assert visitor.ask("GET", "/", {"Accept": "text/html"})[0] == 200
    assert Visitor(server).ask("GET", "/", {"Host": "evil.example"})[0] == 421


@pytest.mark.parametrize(
    ("length", "status"),
    [("0", 422), ("-1", 400), ("1.5", 400), ("1e3", 400), ("", 400), ("٣", 400), ("0x10", 400), ("9" * 6000, 413)],
)
def test_absurd_lengths(visitor: Visitor, length: str, status: int) -> None:
    metadata = f"filename {b64encode(b'a.zip').decode()}"
    headers = {"Upload-Length": length.encode().decode("latin-1"), "Upload-Metadata": metadata}
    assert visitor.ask("POST", "/api/uploads", headers)[0] == status


@pytest.mark.parametrize(
    "metadata", ["", "filename", "filename !!!", "filename /w==", "name YQ==", ",,,", "filename a b"]
)
def test_absurd_names(visitor: Visitor, metadata: str) -> None:
    assert visitor.ask("POST", "/api/uploads", {"Upload-Length": "1", "Upload-Metadata": metadata})[0] == 400


def test_the_protocols_answers(server: AppServer, visitor: Visitor) -> None:
    status, headers, _ = visitor.ask("OPTIONS", "/api/uploads")
    assert (status, headers["Tus-Version"]) == (204, "1.0.0")
    assert int(headers["Tus-Max-Size"]) > 0
    assert announce(visitor, 10, **{"Tus-Resumable": "0.2.2"}) == 412
    upload = visitor.begin(10)

    def patch(offset: object, piece: bytes = b"12345", kind: str = PIECE) -> int:
        headers = {"Upload-Offset": str(offset), "Content-Type": kind, "Tus-Resumable": "1.0.0"}
        return visitor.ask("PATCH", upload, headers, piece)[0]

    assert patch(0, kind="text/plain") == 415
    assert [patch(offset) for offset in ("", "-1", "1e1", "x")] == [400] * 4
    assert [patch(offset) for offset in (1, 10, "9" * 30)] == [409] * 3
    assert patch(1, b"") == 409
    assert patch(0, bytes(11)) == 413
    assert visitor.received(upload) == 0
    assert patch(0) == 204
    assert patch(0) == 409
    assert patch(5) == 204
    assert patch(10) == 413  # after the end
    assert patch(10, b"") == 204
    assert patch(0) == 409
    assert visitor.received(upload) == 10
    assert visitor.ask("DELETE", upload)[0] == 204
    assert patch(10, b"") == 404
    assert visitor.ask("DELETE", upload)[0] == 404
    for path in ("/api/uploads/..", "/api/uploads/%2e%2e%2fjobs", "/api/uploads/" + "a" * 5000, "/api/uploads/%00"):
        assert visitor.ask("HEAD", path)[0] in (400, 404, 405), path


def test_two_tabs_write_one_file_once(server: AppServer, visitor: Visitor) -> None:
    content = bytes(range(256)) * 16384
    upload = visitor.begin(len(content))
    with ThreadPoolExecutor(4) as tabs:
        answers = list(tabs.map(lambda _: visitor.send(upload, 0, content), range(4)))
    assert set(answers) <= {204, 409}
    assert 204 in answers
    received = visitor.received(upload)
    if received < len(content):
        assert visitor.send(upload, received, content[received:]) == 204
    folder = server.folder / "uploads" / upload.rsplit("/", 1)[-1]
    assert (folder / "stack.zip").read_bytes() == content


@pytest.mark.parametrize("path", ["/", "/history", "/api/uploads", "/api/jobs/x/scene.html", "/_stcore/host-config"])
def test_no_other_name_leads_here(visitor: Visitor, path: str) -> None:
    port = urlsplit(visitor.server.url).port
    absurd = ("127.0.0.1, evil.example", "127.0.0.1/evil.example", "evil@127.0.0.1", "127.0.0.1:evil", "[")
    other = ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "", "localhost@evil.example")
    for host in (*other, *absurd):
        status, _, content = visitor.ask("GET", path, {"Host": host})
        assert (status, b"--allowed-host" in content) == (421, True), host
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        assert visitor.ask("GET", path, {"Host": host})[0] != 421
    stream = {"Host": "evil.example", "Origin": "http://evil.example", "Upgrade": "websocket", "Connection": "Upgrade"}
    stream |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": b64encode(bytes(16)).decode()}
    assert visitor.ask("GET", "/_stcore/stream", stream)[0] == 421


def test_a_site_allows_its_names(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("app")
    with serving(place(finished), folder, "--allowed-host", "vem.example", "--host", "0.0.0.0") as running:
        visitor = Visitor(running)
        assert visitor.ask("GET", "/", {"Host": "VEM.example:8501"})[0] == 200
        assert visitor.ask("GET", "/", {"Host": "192.0.2.7"})[0] == 200  # an address is bound to nobody else
        assert visitor.ask("GET", "/", {"Host": "evil.example"})[0] == 421
        assert visitor.ask("GET", "/healthz", {"Host": "evil.example"})[0] == 200
    assert folder.stat().st_mode & 0o777 == 0o700
    for name in ("uploads", "jobs"):
        assert (folder / name).stat().st_mode & 0o777 == 0o700
    for name in ("application.sqlite", "secret.key"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/api/uploads/x", "/api/jobs/x/scene.html", "/absent", "/volumes/x/y/z"]
)
def test_nobody_frames_or_sniffs_an_answer(visitor: Visitor, path: str) -> None:
    _, headers, _ = visitor.ask("GET", path, {"Accept": "text/html"})
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    policy = dict(each.strip().partition(" ")[::2] for each in headers["Content-Security-Policy"].split(";"))
    assert policy["frame-ancestors"] == "'none'"
    assert policy["default-src"] in ("'self'", "'none'")
    assert "'unsafe-inline'" not in policy.get("script-src", "")
    assert "'unsafe-eval'" not in policy.get("script-src", "")


def test_a_page_that_is_kept_keeps_its_policy(visitor: Visitor) -> None:
    """Headers of a 304 take the place of those that a browser has stored with the page (RFC 9111, 3.2)."""
    _, headers, _ = visitor.ask("GET", "/")
    tags = {"If-None-Match": headers["ETag"]} if "ETag" in headers else {"If-Modified-Since": headers["Last-Modified"]}
    status, kept, _ = visitor.ask("GET", "/", tags)
    assert status == 304
    assert kept.get("Content-Security-Policy", headers["Content-Security-Policy"]) == headers["Content-Security-Policy"]


def exchange(server: AppServer, *pieces: bytes, pause: float = 0.0) -> bytes:
    """All that the server answers to bytes that are sent with a pause between them."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=90) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)
        found = b""
        try:
            while received := connection.recv(65536):
                found += received
        except ConnectionError:
            pass
    return found


def test_two_lengths_are_one_too_many(server: AppServer) -> None:
    head = b"POST /api/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = exchange(server, head, b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1  # what follows is not taken for another request


def test_who_never_ends_a_request_is_cut_off(server: AppServer) -> None:
    begun = time.monotonic()
    assert exchange(server, b"GET / HTTP/1.1\r\nHost: local") == b""
    assert exchange(server) == b""
    assert time.monotonic() - begun < 80
    assert server.fetch("/healthz") == b"ok"


def test_a_session_ends_on_the_server(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(place(finished), tmp_path_factory.mktemp("app"), session_days=6 / 86400) as running:
        visitor = Visitor(running).open_page()
        upload = visitor.begin(10)
        assert visitor.received(upload) == 0
        kept = visitor.cookie
        time.sleep(3)
        assert visitor.open_page().cookie != kept  # who comes back in time stays who they are
        assert visitor.received(upload) == 0
        time.sleep(8)
        assert visitor.ask("HEAD", upload)[0] == 401
