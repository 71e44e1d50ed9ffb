"""The routes beside the pages, over HTTP: resumable uploads, who may do what, links for viewers, health and metrics.

What the queue, the intake and the results do is tested without a server, what people see with a browser.
"""

from __future__ import annotations

import io
import json
import os
import re
import socket
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from appserver import AppServer, serving
from PIL import Image
from tinystudy import VOXEL_SIZE_NM, place
from visitor import PIECE, Visitor

from pipeline.run.layout import Run
from pipeline.webapp import catalogue
from pipeline.webapp.downloads import DOWNLOADS
from pipeline.webapp.intake import inspect_upload
from pipeline.webapp.jobs import Job, JobStore
from pipeline.webapp.links import Links
from pipeline.webapp.owners import COOKIE, secret_key
from pipeline.webapp.results import Result
from pipeline.webapp.services import Services
from pipeline.webapp.settings import Settings

CONTENT = bytes(range(256)) * 4096
"""A megabyte in which no two places are alike within a page."""
UPLOAD_MEGABYTES = int(os.environ.get("VEMSEG_TEST_UPLOAD_MB", "256"))
MOST_GROWTH_BYTES, MOST_BYTES = 100e6, 1e9


@pytest.fixture(scope="module")
def server(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """A server for the tests of this file."""
    with serving(place(finished), tmp_path_factory.mktemp("app")) as running:
        yield running


@pytest.fixture
def visitor(server: AppServer) -> Visitor:
    """Somebody who has opened the page."""
    return Visitor(server).open_page()


def _file(server: AppServer, upload: str) -> Path:
    return server.folder / "uploads" / upload.rsplit("/", 1)[-1] / "stack.zip"


@pytest.mark.slow
def test_a_file_arrives_piece_by_piece(server: AppServer, visitor: Visitor) -> None:
    upload = visitor.begin(len(CONTENT))
    assert visitor.received(upload) == 0
    assert visitor.send(upload, 0, CONTENT[:300_000]) == 204
    assert visitor.send(upload, 0, CONTENT[:300_000]) == 409  # has arrived already
    assert visitor.send(upload, 400_000, CONTENT[400_000:]) == 409  # leaves a hole
    assert visitor.received(upload) == 300_000
    assert visitor.send(upload, 300_000, CONTENT[300_000:]) == 204
    assert _file(server, upload).read_bytes() == CONTENT


@pytest.mark.slow
def test_a_broken_connection_costs_nothing_that_has_arrived(server: AppServer, visitor: Visitor) -> None:
    upload = visitor.begin(len(CONTENT))
    address = urlsplit(server.url)
    head = (
        f"PATCH {upload} HTTP/1.1\r\nHost: {address.netloc}\r\nCookie: {visitor.cookie}\r\nContent-Type: {PIECE}\r\n"
        f"Upload-Offset: 0\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head.encode() + CONTENT[:500_000])
    offset = _until(lambda: visitor.received(upload))
    assert 0 < offset <= 500_000
    assert visitor.send(upload, offset, CONTENT[offset:]) == 204
    assert _file(server, upload).read_bytes() == CONTENT


def _until(look: Callable[[], int]) -> int:
    """What it says once it is above zero and has come to rest."""
    last = 0
    for _ in range(100):
        now = look()
        if now and now == last:
            return now
        last = now
        time.sleep(0.1)
    raise AssertionError("nothing arrived")


@pytest.mark.slow
def test_an_upload_survives_the_server(finished: Run, tmp_path: Path) -> None:
    with serving(place(finished), tmp_path / "app") as server:
        visitor = Visitor(server).open_page()
        upload = visitor.begin(len(CONTENT))
        assert visitor.send(upload, 0, CONTENT[:123_456]) == 204
        server.kill()
        server.restart()
        assert visitor.received(upload) == 123_456
        assert visitor.send(upload, 123_456, CONTENT[123_456:]) == 204
        assert _file(server, upload).read_bytes() == CONTENT


@pytest.mark.slow
def test_uploads_are_their_owners(server: AppServer, visitor: Visitor) -> None:
    upload = visitor.begin(len(CONTENT))
    other = Visitor(server).open_page()
    assert other.cookie != visitor.cookie
    for method in ("HEAD", "DELETE"):
        assert other.ask(method, upload)[0] == 404
    assert other.send(upload, 0, CONTENT) == 404
    assert Visitor(server).ask("HEAD", upload)[0] == 401
    forged = Visitor(server, f"{visitor.cookie[:-4]}AAAA")
    assert forged.ask("HEAD", upload)[0] == 401
    assert visitor.ask("DELETE", upload)[0] == 204
    assert visitor.ask("HEAD", upload)[0] == 404


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "name", "status"),
    [
        ("0", "stack.zip", 422),
        ("1000000000000000", "stack.zip", 413),
        ("10", "thesis.docx", 422),
        ("many", "a.zip", 400),
    ],
)
def test_what_cannot_be_taken_is_refused_before_it_is_sent(visitor: Visitor, size: str, name: str, status: int) -> None:
    metadata = f"filename {b64encode(name.encode()).decode()}"
    answer = visitor.ask("POST", "/api/uploads", {"Upload-Length": size, "Upload-Metadata": metadata})
    assert answer[0] == status
    if status in (413, 422):
        assert json.loads(answer[2])["message"]


@pytest.mark.slow
def test_other_sites_can_ask_for_nothing(visitor: Visitor) -> None:
    for origin in ("https://elsewhere.example", "http://[", "http://127.0.0.1:x", "null", ""):
        assert visitor.ask("POST", "/api/uploads", {"Origin": origin, "Upload-Length": "1"})[0] == 403
    stream = {"Origin": "https://elsewhere.example", "Upgrade": "websocket", "Connection": "Upgrade"}
    stream |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": b64encode(bytes(16)).decode()}
    assert visitor.ask("GET", "/_stcore/stream", stream)[0] == 403


@pytest.mark.slow
def test_memory_stays_flat_while_a_large_file_comes(server: AppServer, visitor: Visitor) -> None:
    piece = os.urandom(8 << 20)
    size = UPLOAD_MEGABYTES * 1_000_000 // len(piece) * len(piece)
    upload = visitor.begin(size)
    assert visitor.send(upload, 0, piece) == 204
    before = _peak_bytes(server)
    for offset in range(len(piece), size, len(piece)):
        assert visitor.send(upload, offset, piece) == 204
    peak = _peak_bytes(server)
    print(f"{size / 1e9:.2f} GB uploaded; the server's peak is {peak / 1e6:.0f} MB, {before / 1e6:.0f} MB before")
    assert _file(server, upload).stat().st_size == size
    assert visitor.ask("DELETE", upload)[0] == 204
    assert peak - before < MOST_GROWTH_BYTES
    assert peak < MOST_BYTES


def _peak_bytes(server: AppServer) -> int:
    """The most memory that the server's process has held so far."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


@pytest.mark.slow
def test_health_and_metrics_ask_for_no_cookie(server: AppServer) -> None:
    assert server.fetch("/healthz") == b"ok"
    assert 'vemseg_app_jobs{state="queued"} 0.0' in server.metrics().splitlines()
    assert "vemseg_app" not in Visitor(server).ask("GET", "/metrics")[2].decode()
    assert Visitor(server).ask("GET", "/_stcore/metrics")[0] == 404


@pytest.fixture(scope="module")
def done(server: AppServer, finished: Run, stack: bytes) -> tuple[Visitor, Job]:
    """Somebody with a job that is done."""
    visitor = Visitor(server).open_page()
    store, job = _order(visitor, finished, stack)
    return visitor, _wait_for(store, job, lambda current: current.has_ended)


def _order(visitor: Visitor, model: Run, stack: bytes) -> tuple[JobStore, Job]:
    """Upload a stack and order its segmentation, as the first page does; the store that knows the job."""
    upload = visitor.begin(len(stack))
    assert visitor.send(upload, 0, stack) == 204
    settings = Settings(data=visitor.server.folder, models=(str(place(model)),))
    services = Services.of(settings)
    owner = services.owners.of({}, {COOKIE: visitor.cookie.partition("=")[2]})
    assert owner is not None
    arrived = services.uploads.get(owner, upload.rsplit("/", 1)[-1])
    found = inspect_upload(arrived.path, settings.policy)
    card = catalogue.models(settings.models)[0]
    return services.jobs, services.jobs.create(owner, found, card, voxel_size_nm=VOXEL_SIZE_NM, upload=arrived)


def _wait_for(store: JobStore, job: Job, reached: Callable[[Job], bool]) -> Job:
    """The job once it is so far."""
    for _ in range(3000):
        if reached(current := store.get(job.owner, job.id)):
            return current
        time.sleep(0.1)
    raise AssertionError(f"{current.state}: {current.message}")


@pytest.mark.slow
@pytest.mark.parametrize("end", [AppServer.kill, AppServer.stop])
def test_a_job_goes_on_while_its_server_is_away(
    end: Callable[[AppServer], None], finished: Run, stack: bytes, tmp_path: Path
) -> None:
    with serving(place(finished), tmp_path / "app") as server:
        visitor = Visitor(server).open_page()
        store, job = _order(visitor, finished, stack)
        begun = _wait_for(store, job, lambda current: current.record.handle is not None)
        assert begun.state == "running"
        end(server)
        assert store.get(job.owner, job.id).state == "running"  # nobody is there to say that it is done
        server.restart()
        last = _wait_for(store, job, lambda current: current.has_ended)
        assert (last.state, last.record.tries) == ("done", 1)
        assert visitor.ask("GET", f"/api/jobs/{job.id}/slices/0/0.png")[0] == 200


@pytest.mark.slow
def test_slices_are_grey_values_and_class_numbers(done: tuple[Visitor, Job]) -> None:
    visitor, job = done
    result = Result.open(job)
    for axis, index in ((0, 0), (1, 17), (2, 30)):
        status, _, content = visitor.ask("GET", f"/api/jobs/{job.id}/slices/{axis}/{index}.png")
        assert status == 200
        picture = np.asarray(Image.open(io.BytesIO(content)))
        grey, classes = result.slice(axis, index)
        np.testing.assert_array_equal(picture[..., 0], grey)
        np.testing.assert_array_equal(picture[..., 1], classes)
    assert visitor.ask("GET", f"/api/jobs/{job.id}/slices/0/9999.png")[0] == 422
    no_number, no_page = (f"/api/jobs/{job.id}/slices/0/{word}.png" for word in ("9" * 5000, "word"))
    assert visitor.ask("GET", no_number)[::2] == visitor.ask("GET", no_page)[::2]  # what no page has is the start page


@pytest.mark.slow
def test_a_link_shows_the_volumes_of_one_job_to_any_site(done: tuple[Visitor, Job]) -> None:
    visitor, job = done
    token = Links(secret_key(visitor.server.folder)).token(job.owner, job.id)
    stranger = Visitor(visitor.server)
    elsewhere = {"Origin": "https://viewer.example"}
    for name, folder in Result.open(job).volumes().items():
        status, headers, content = stranger.ask("GET", f"/volumes/{token}/{name}/zarr.json", elsewhere)
        assert (status, content) == (200, (folder / "zarr.json").read_bytes())
        assert headers["access-control-allow-origin"] == "*"
        chunk = next(path for path in folder.rglob("c/**/*") if path.is_file())
        address = f"/volumes/{token}/{name}/{chunk.relative_to(folder)}"
        status, _, content = stranger.ask("GET", address, elsewhere | {"Range": "bytes=-16"})
        assert (status, content) == (206, chunk.read_bytes()[-16:])  # where a shard's index is
    for address in (
        f"/volumes/{token[:-3]}abc/raw/zarr.json",
        f"/volumes/{token}/upload/zarr.json",
        f"/volumes/{token}/raw/absent",
        f"/volumes/{token}/raw/%2e%2e/%2e%2e/%2e%2e/job.json",
    ):
        assert stranger.ask("GET", address)[0] in (400, 404), address


@pytest.mark.slow
def test_results_are_their_owners(done: tuple[Visitor, Job]) -> None:
    visitor, job = done
    other = Visitor(visitor.server).open_page()
    for part in ("slices/0/0.png", "scene.html", *(f"downloads/{kind}" for kind in DOWNLOADS)):
        assert other.ask("GET", f"/api/jobs/{job.id}/{part}")[0] == 422
        assert Visitor(visitor.server).ask("GET", f"/api/jobs/{job.id}/{part}")[0] == 401
    status, headers, content = visitor.ask("GET", f"/api/jobs/{job.id}/downloads/csv")
    assert status == 200
    assert headers["content-disposition"].startswith("attachment")
    assert b"grey" in content
