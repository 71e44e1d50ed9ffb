"""What the application's tests share: settings in a folder of their own, a small model, small volumes, uploads."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tinystudy import VOXEL_SIZE_NM, place, tissue

from pipeline.steps.run import Run
from pipeline.webapp import catalogue
from pipeline.webapp.catalogue import ModelCard
from pipeline.webapp.intake import Found, inspect_upload
from pipeline.webapp.jobs import Job, JobStore
from pipeline.webapp.settings import Settings
from pipeline.webapp.uploads import Upload, Uploads

MakeSettings = Callable[..., Settings]
MakeJob = Callable[..., Job]


def png(pixels: NDArray[Any]) -> bytes:
    """A slice as PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def slices(volume: NDArray[Any], folder: str = "stack") -> dict[str, bytes]:
    """The slices of a volume as numbered PNG files."""
    return {f"{folder}/slice_{z:03}.png": png(plane) for z, plane in enumerate(volume)}


@pytest.fixture(scope="session")
def stack() -> bytes:
    """A zip of four slices, as a biologist makes it."""
    grey, _ = tissue((4, 64, 96), seed=3)
    return zipped(slices(grey))


@pytest.fixture(scope="session")
def model(finished: Run) -> ModelCard:
    """A model of three classes."""
    return catalogue.models([str(place(finished))])[0]


@pytest.fixture
def make_settings(tmp_path: Path, finished: Run) -> MakeSettings:
    """Settings with a data folder of this test; options override."""

    def make(**options: Any) -> Settings:
        return Settings.of({}, **{"data": tmp_path / "data", "models": (str(place(finished)),), "cores": 1} | options)

    return make


def uploaded(settings: Settings, content: bytes, name: str = "stack.zip", owner: str = "anna") -> Upload:
    """A complete upload."""
    uploads = Uploads(settings)
    upload = uploads.begin(owner, name, len(content))
    return uploads.append(owner, upload.id, 0, content)


def look(settings: Settings, upload: Upload) -> Found:
    """What was found in an upload."""
    return inspect_upload(upload.path, settings.limits)


@pytest.fixture
def make_job(stack: bytes, model: ModelCard) -> MakeJob:
    """Order the segmentation of the stack; in a queue that nobody works off, unless a worker is there."""

    def make(settings: Settings, owner: str = "anna", content: bytes = stack, **options: Any) -> Job:
        upload = uploaded(settings, content, owner=owner)
        given = {"voxel_size_nm": VOXEL_SIZE_NM, "upload": upload} | options
        return JobStore(settings).create(owner, look(settings, upload), model, **given)

    return make


def noise(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Grey values that do not pack."""
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
