"""What goes wrong: each bad file is answered in plain words, and the page goes on working; so is a job that fails."""

from __future__ import annotations

import io
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from appserver import VOXEL_SIZE_NM, AppServer, sections, serving, zip_of_slices
from looking import Look, Violations
from PIL import Image
from playwright.sync_api import Page, expect
from visiting import give_file, start, state_voxel_size


def _png(*shape: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)).save(file, "PNG")
    return file.getvalue()


def _zip(content: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return file.getvalue()


def _with_password() -> bytes:
    """An archive that says of its file that it is encrypted: bit 0 of the flags, in both headers (APPNOTE 4.4.4)."""
    content = bytearray(_zip({"1.png": _png(8, 8)}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.index(signature) + offset
        struct.pack_into("<H", content, place, 1)
    return bytes(content)


FILES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "not a zip": ("slices.zip", lambda: b"these are no slices", "not a zip"),
    "text": ("notes.txt", lambda: b"membranes are dark", "no volume that can be read"),
    "empty": ("empty.tif", lambda: b"", "empty"),
    "a zip bomb": ("bomb.zip", lambda: _zip({"1.png": bytes(50_000_000)}), "times"),
    "nested zips": ("nested.zip", lambda: _zip({"inner.zip": _zip({"1.png": _png(8, 8)})}), "inner.zip"),
    "colour": ("colour.zip", lambda: _zip({f"{z}.png": _png(8, 8, 3) for z in range(3)}), "colour"),
    "two sizes": ("sizes.zip", lambda: _zip({"1.png": _png(8, 8), "2.png": _png(8, 9)}), "8"),
    "a password": ("secret.zip", _with_password, "password"),
    "broken": ("broken.tif", lambda: b"II*\0 and then nothing", "broken.tif"),
}
"""Name of the file, its content, and a word that the answer has."""


@pytest.mark.slow
def test_each_bad_file_is_explained_and_the_page_lives(
    server: AppServer, page: Page, console_errors: list[str], tmp_path: Path
) -> None:
    for name, content, word in (each for each in FILES.values()):
        path = tmp_path / name
        path.write_bytes(content())
        give_file(page, server.url, path)
        answer = page.get_by_role("alert").filter(has_text=word)
        expect(answer.first).to_be_visible()
        said = answer.first.inner_text()
        assert "Traceback" not in said
        assert str(server.folder) not in said
    refusals = [error for error in console_errors if "422" not in error]  # the browser logs every refusal
    assert not refusals
    assert "Traceback" not in server.log()


@pytest.mark.slow
def test_a_job_that_fails_says_why(
    model: Path, page: Page, console_errors: list[str], axe: Violations, pictures: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(model, tmp_path / "run")
    with serving(run, tmp_path / "app") as server:
        give_file(page, server.url, zip_of_slices(tmp_path / "stack.zip", sections(4)[:, :96, :128]))
        state_voxel_size(page, VOXEL_SIZE_NM)
        weights = run / "models/multilabel/model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
        start(page)
        answer = page.get_by_role("alert").filter(has_text="model.safetensors is not the file")
        expect(answer).to_be_visible()
        assert "Traceback" not in answer.inner_text()
        assert str(server.folder) not in answer.inner_text()
        Look(page, axe, pictures)("failed")
        assert not console_errors
