"""Behind a reverse proxy that signs users in, at a sub-path: all of it works, and nobody sees another one's jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from appserver import VOXEL_SIZE_NM, AppServer, sections, serving, zip_of_slices
from playwright.sync_api import Page, expect
from proxy import USER_HEADER, Proxy, proxying
from visiting import colours, give_file, open_tab, start, state_voxel_size, wait_for_result

BASE = "/lab/segment"


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """A server that takes the user's name from the proxy."""
    options = ("--base-path", BASE, "--user-header", USER_HEADER, "--trusted-proxy", "127.0.0.1")
    with serving(model, tmp_path_factory.mktemp("app"), *options) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(server: AppServer) -> Iterator[Proxy]:
    """The proxy in front of it."""
    port = urlsplit(server.url).port
    assert port is not None
    with proxying(port) as running:
        yield running


@pytest.mark.slow
def test_a_job_behind_a_proxy_and_who_sees_it(
    server: AppServer, proxy: Proxy, page: Page, console_errors: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    stack = zip_of_slices(tmp_path_factory.mktemp("stack") / "stack.zip", sections(2)[:, :128, :128])
    give_file(page, f"{proxy.url}{BASE}", stack)
    state_voxel_size(page, VOXEL_SIZE_NM)
    job = start(page)
    wait_for_result(page)
    assert colours(page.locator("canvas")) > 1
    page.reload()
    wait_for_result(page)
    open_tab(page, "Download")
    with page.expect_download() as coming:
        page.get_by_role("link", name="Table (CSV)").click()
    assert "grey" in coming.value.path().read_text()
    assert not console_errors
    assert all(line.split()[1].startswith(BASE) or "favicon" in line for line in proxy.passed)

    table = f"{proxy.url}{BASE}/api/jobs/{job}/downloads/csv"
    assert page.request.get(table).ok
    owner, proxy.user = proxy.user, "eve"
    assert page.request.get(table).status == 422
    page.goto(f"{proxy.url}{BASE}/job?job={job}")
    expect(page.get_by_text("There is no such segmentation")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Cancel|Delete"))).to_have_count(0)
    page.goto(f"{proxy.url}{BASE}/history")
    expect(page.get_by_text("Nothing yet")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Cancel|Delete"))).to_have_count(0)
    for method in ("DELETE", "POST", "PATCH"):
        assert page.request.fetch(f"{proxy.url}{BASE}/api/jobs/{job}", method=method).status in (404, 405)
    proxy.user = owner
    assert page.request.get(table).ok


@pytest.mark.slow
def test_who_is_not_signed_in_gets_nothing(server: AppServer, page: Page) -> None:
    page.goto(server.url)
    expect(page.get_by_text("Nobody is signed in")).to_be_visible()
    assert page.request.post(f"{server.url}/api/uploads", headers={"Upload-Length": "1"}).status == 401
