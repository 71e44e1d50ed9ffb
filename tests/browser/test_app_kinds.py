"""Every kind of volume that people have, through the page: uploaded, or named by its path or `s3://` URL.

What each reader understands is tested in tests/volume; here it has to reach a result.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
from appserver import VOXEL_SIZE_NM, AppServer, sections, serving
from playwright.sync_api import Page, expect
from s3server import new_bucket
from visiting import colours, give_file, start, wait_for_result

from pipeline.volume.geometry import Geometry
from pipeline.volume.omezarr import create_image
from pipeline.volume.stores import Store

RAW = sections(4)[:, :96, :128]
SIZE = "4 slices of 128 × 96 pixels"


def _tiff() -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, RAW, photometric="minisblack")
    return file.getvalue()


def _mrc(folder: Path) -> bytes:
    with mrcfile.new(folder / "made.mrc") as file:
        file.set_data(RAW.astype(np.uint16))  # the format has no unsigned bytes
    return (folder / "made.mrc").read_bytes()


def _hdf5() -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        content["volume"] = RAW
    return file.getvalue()


UPLOADS: dict[str, Callable[[Path], bytes]] = {
    "stack.tif": lambda _: _tiff(),
    "volume.mrc": _mrc,
    "volume.h5": lambda _: _hdf5(),
}
"""Zips of slices are what the other tests upload."""


@pytest.fixture(scope="module")
def bucket(s3_endpoint: str) -> Iterator[str]:
    """The URL of a bucket, for as long as the server runs that reads from it."""
    with pytest.MonkeyPatch.context() as environment:
        yield new_bucket(s3_endpoint, environment)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that users may read from."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "stack.tif").write_bytes(_tiff())
    return folder


@pytest.fixture(scope="module")
def server(model: Path, lab: Path, bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """A server that reads the folder and a part of the bucket."""
    folders = ("--folder", str(lab), "--folder", f"{bucket}/stacks")
    with serving(model, tmp_path_factory.mktemp("app"), *folders) as running:
        yield running


@pytest.mark.slow
def test_each_kind_is_uploaded_and_understood(server: AppServer, page: Page, tmp_path: Path) -> None:
    for name, content in UPLOADS.items():
        file = tmp_path / name
        file.write_bytes(content(tmp_path))
        give_file(page, server.url, file)
        expect(page.get_by_role("heading", name=name)).to_be_visible()
        expect(page.get_by_text(SIZE)).to_be_visible()
        page.get_by_role("button", name="Use another file").click()
        expect(page.get_by_role("button", name="Choose a file")).to_be_visible()
    assert list((server.folder / "uploads").iterdir()) == []


@pytest.mark.slow
def test_a_path_and_a_url_are_read_where_they_lie(server: AppServer, lab: Path, bucket: str, page: Page) -> None:
    for place in (f"{bucket}/secret", "http://169.254.169.254/latest", "/etc/passwd"):
        _name(page, server.url, place)
        expect(page.get_by_role("alert").filter(has_text="only")).to_be_visible()
    _name(page, server.url, str(lab / "stack.tif"))
    expect(page.get_by_text(SIZE)).to_be_visible()
    geometry = Geometry((4, 96, 128), VOXEL_SIZE_NM)
    grid = {"chunk_zyx": (4, 96, 128), "shard_zyx": (4, 96, 128)}
    store = Store.open(f"{bucket}/stacks/volume.zarr", create=True)
    create_image(store, geometry=geometry, dtype="uint8", name="volume", **grid).write(geometry.block, RAW)
    _name(page, server.url, f"{bucket}/stacks/volume.zarr")
    expect(page.get_by_text(SIZE)).to_be_visible()
    page.get_by_text("Only a part of it").click()
    _take_part(page, "0:9,0:64,0:96")
    expect(page.get_by_role("alert").filter(has_text="the box ends at")).to_be_visible()
    _take_part(page, "0:4,16:80,0:96")
    expect(page.get_by_text("4 slices of 96 × 64")).to_be_visible()
    start(page)
    wait_for_result(page)
    assert colours(page.locator("canvas")) > 1
    _lose_a_slice(page)


def _take_part(page: Page, box: str) -> None:
    page.get_by_role("textbox", name="Box").fill(box)
    page.get_by_role("button", name="Look at this part").click()


def _lose_a_slice(page: Page) -> None:
    """As while the server is started again: the viewer asks once more by itself."""
    page.route("**/slices/0/0.png", lambda route: route.abort(), times=1)
    page.get_by_role("slider", name="Slice").fill("0")
    expect(page.get_by_text("could not be loaded")).to_be_visible()
    expect(page.locator("canvas")).to_have_attribute("data-drawn", "z 0")
    expect(page.get_by_text("could not be loaded")).to_have_count(0)


def _name(page: Page, url: str, place: str) -> None:
    page.goto(url)
    page.get_by_text("Too large to upload").click()
    page.get_by_role("textbox", name="s3://").fill(place)
    page.get_by_role("button", name="Look at it").click()
