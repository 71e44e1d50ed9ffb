"""Files that users upload, and uploading them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.webapp.intake import Found, inspect_upload
from pipeline.webapp.jobs import Job
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


def uploaded(settings: Settings, content: bytes, name: str = "stack.zip", owner: str = "anna") -> Upload:
    """A complete upload."""
    uploads = Uploads(settings)
    upload = uploads.begin(owner, name, len(content))
    return uploads.append(owner, upload.id, 0, content)


def look(settings: Settings, upload: Upload) -> Found:
    """What was found in an upload."""
    return inspect_upload(upload.path, settings.policy)


def noise(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Grey values that do not pack."""
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
