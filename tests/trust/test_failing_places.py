"""Places that fail: a full disk, an object storage that errs, cuts and delays, a clock that is set back, little memory.

Each step ends right, or with an exit code that is worth a retry (74, 75, 137), and ends with the right bytes once the
place is well again.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from chain import Chain, comparable, until_done
from s3server import new_bucket, serving_s3

from pipeline.volume.stores import Store

MIB = 2**20
pytestmark = [
    pytest.mark.skipif(os.environ.get("VEMSEG_TRUST") != "full", reason="tried by `make trust`"),
    pytest.mark.timeout(1200),
]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={64 * MIB}", "none", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk can only be mounted by root")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk_in_every_step(chain: Chain, small_disk: Path, row: Callable[[str, str], None]) -> None:
    """What is free is less than the step writes: nothing, then half of it."""
    refused = 0
    for step in chain.steps:
        for share in (0.0, 0.5):
            run = chain.before(step, small_disk / "run")
            already = sum(len(data) for data in comparable(run).values())
            written = sum(len(data) for data in chain.after(step).values()) - already
            _fill(small_disk, round(share * max(written, 0)))
            ended = step.start(chain.folder / "log", run).end()
            assert ended.code in (0, 74), f"{step.name}: {ended.text}"
            assert "Traceback" not in ended.text, f"{step.name}: {ended.text}"
            refused += ended.code == 74
            (small_disk / "ballast").unlink()
            until_done(step, chain.folder / "log", run)
            assert comparable(run) == chain.after(step), step.name
    row("disk full in each step", f"{2 * len(chain.steps)} tried, {refused} ended with 74 and went on, none with 1")
    assert refused >= len(chain.steps) // 2


def _fill(disk: Path, leave: int) -> None:
    """Take all that is free of a disk but for so many bytes, in whole pages."""
    free = shutil.disk_usage(disk).free - leave
    with (disk / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(free // 4096 * 4096, 4096))


def test_a_storage_that_errs_cuts_and_delays(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, row: Callable[[str, str], None]
) -> None:
    """Of every hundred answers five are errors, two are cut off and five come late."""
    with serving_s3() as endpoint, unreliable(endpoint) as (proxy, tally):
        url = f"{new_bucket(endpoint, monkeypatch)}/run"
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        settings = json.dumps({"AWS_ENDPOINT_URL": proxy} | keys)
        tries = sum(until_done(step, tmp_path / "log", url, f"with={settings}") for step in chain.steps)
        _fetch(Store.open(url), tmp_path / "run")
    found, expected = comparable(tmp_path / "run"), chain.after(chain.steps[-1])
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
    faults = f"{tally['error']} errors, {tally['cut']} cuts, {tally['late']} delays"
    row("S3 with 5 % of 500s, cuts and delays", f"{faults}; {len(chain.steps)} steps ended right in {tries} tries")
    assert min(tally.values()) > 0


def _fetch(store: Store, to: Path) -> None:
    for key in store.list():
        path = to / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.read(key))


@contextmanager
def unreliable(endpoint: str, seed: int = 0) -> Iterator[tuple[str, dict[str, int]]]:
    """A proxy before an S3 server, with faults; yields its address and how many there were of each kind."""
    rng, tally, lock, target = (
        random.Random(seed),
        {"error": 0, "cut": 0, "late": 0},
        threading.Lock(),
        urlsplit(endpoint),
    )

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                draw = rng.random()
                kind = "error" if draw < 0.05 else "cut" if draw < 0.07 else "late" if draw < 0.12 else ""
                if kind:
                    tally[kind] += 1
            if kind == "error":
                self._answer(500, [], b"<Error><Code>InternalError</Code></Error>")
                return
            if kind == "late":
                time.sleep(0.5)
            upstream = http.client.HTTPConnection(target.hostname or "", target.port, timeout=30)
            upstream.request(self.command, self.path, body, dict(self.headers.items()))
            answer = upstream.getresponse()
            content = answer.read()
            upstream.close()
            if kind == "cut":
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            skipped = {"content-length", "transfer-encoding", "connection", "date", "server"}
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in skipped]
            length = answer.getheader("Content-Length") if self.command == "HEAD" else None
            self._answer(answer.status, headers, content, length)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815 - so named by the base class

        def _answer(
            self, status: int, headers: list[tuple[str, str]], content: bytes, length: str | None = None
        ) -> None:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", tally
    server.shutdown()
    server.server_close()


def test_a_clock_that_is_set_back_an_hour(chain: Chain, tmp_path: Path, row: Callable[[str, str], None]) -> None:
    """Every other step believes that it runs an hour before the one before it."""
    run = chain.before(chain.steps[0], tmp_path / "run")
    for number, step in enumerate(chain.steps):
        ended = step.start(tmp_path / "log", run, *(["hour-before"] if number % 2 else [])).end()
        assert ended.code == 0, ended.text
    ended_again = [step.start(tmp_path / "log", run, "hour-before").end() for step in chain.steps]
    assert [ended.code for ended in ended_again] == [0] * len(chain.steps)
    found, expected = comparable(run), chain.after(chain.steps[-1])
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
    row("clock set back an hour", f"{len(chain.steps)} steps ended with the same bytes")


def test_too_little_memory(chain: Chain, tmp_path: Path, row: Callable[[str, str], None]) -> None:
    """The kernel ends a step that takes more than its container may have; with more memory it goes on.

    The limit is on what a step takes beside the libraries, which it shares with the server that it is forked from.
    """
    killed = 0
    for step in chain.steps:
        run = chain.before(step, tmp_path / "run")
        with memory_limit(24 * MIB) as limited:
            child = step.start(tmp_path / "log", run, f"in-group={limited}")
            ended = child.end()
        assert ended.code in (0, 74, 75, -signal.SIGKILL), f"{step.name}: {ended.code} {ended.text}"
        killed += ended.code != 0
        until_done(step, tmp_path / "log", run)
        assert comparable(run) == chain.after(step), step.name
    row("memory limit in each step", f"{killed} of {len(chain.steps)} steps were ended by it and went on with more")


@contextmanager
def memory_limit(limit_bytes: int) -> Iterator[Path]:
    """The file through which a process joins a group that may have so much memory; skips where none can be made."""
    group = Path("/sys/fs/cgroup/memory") / f"vemseg-trust-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
    except OSError:
        pytest.skip("a memory limit needs root and a cgroup v1 memory controller")
    try:
        yield group / "cgroup.procs"
    finally:
        _remove(group)


def _remove(group: Path) -> None:
    """Once the kernel has let go of the process that it ended."""
    for _ in range(300):
        try:
            group.rmdir()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{group} is still in use")
