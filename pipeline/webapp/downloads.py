"""The files that can be made of a result: each is made once, in a process of its own, however many ask for it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from pipeline.errors import InputError, StorageError
from pipeline.webapp.jobs import Job
from pipeline.webapp.locking import lock_file
from pipeline.webapp.uploads import safe_name

NICENESS = 5
_PLACES = threading.BoundedSemaphore(2)  # of a server, for all that its users ask for at once


@dataclass(frozen=True)
class Download:
    """A file made of a result.

    ending: of its name, which begins with the volume's; label and explanation are for its reader. made_by: the module
    whose process makes it.
    """

    kind: str
    ending: str
    media_type: str
    label: str
    explanation: str
    made_by: str = "make_download"


_ALL = (
    Download(
        "ome-zarr", ".ome.zarr.zip", "application/zip", "OME-Zarr", "Image and classes, for napari, Fiji, Neuroglancer"
    ),
    Download("tiff", "-classes.tif", "image/tiff", "TIFF", "Class numbers of every voxel, for Fiji, Amira, Imaris"),
    Download("csv", "-classes.csv", "text/csv", "Table (CSV)", "Voxels, volume, share and number of pieces by class"),
    Download(
        "meshes-ply",
        "-meshes-ply.zip",
        "application/zip",
        "Meshes (PLY)",
        "A coloured surface for each class",
        "make_surfaces",
    ),
    Download(
        "meshes-stl",
        "-meshes-stl.zip",
        "application/zip",
        "Meshes (STL)",
        "A surface for each class, to print",
        "make_surfaces",
    ),
)
DOWNLOADS = {download.kind: download for download in _ALL}
_OF_OBJECTS = (
    Download("objects", "-objects.csv", "text/csv", "Objects (CSV)", "A row for each object: size, shape, place"),
    Download(
        "objects-parquet",
        "-objects.parquet",
        "application/vnd.apache.parquet",
        "Objects (Parquet)",
        "The same, with its types, for Python and R",
    ),
    Download("contacts", "-contacts.csv", "text/csv", "Contacts (CSV)", "A row for each two objects that touch"),
)
OBJECT_DOWNLOADS = {download.kind: download for download in _OF_OBJECTS}
"""Of results whose model tells objects apart."""
MESH_TYPES: dict[str, str] = {"ply": "model/ply", "stl": "model/stl"}


def object_mesh(class_name: str, object_id: int, ending: str) -> Download:
    """The mesh of one object, with an ending of `MESH_TYPES`."""
    name = f"{class_name}-{object_id}"
    label, words = f"Mesh ({ending.upper()})", "The surface of this object, where it lies, in nm"
    return Download(f"{name}-{ending}", f"-{name}.{ending}", MESH_TYPES[ending], label, words, "make_surfaces")


def told_of_mesh(kind: str) -> tuple[str, int]:
    """Class and id of the object of a kind that `object_mesh` has made; names of classes have no hyphen."""
    class_name, object_id, _ = kind.split("-")
    return class_name, int(object_id)


SCENE = Download("scene", "-scene.html", "text/html", "Scene", "Surfaces to turn around, in one page", "make_surfaces")
COUNTS = Download("counts", "-counts.json", "application/json", "Counts", "What the table is made of")


def place_of(job: Job, download: Download) -> Path:
    """Where the file is, once it is made."""
    return job.downloads / f"{safe_name(Path(job.name).stem)}{download.ending}"


def made(job: Job, download: Download) -> Path:
    """The file, made now if nobody has asked for it before.

    Raises InputError when there is nothing to make it of, StorageError when making it fails.
    """
    path = place_of(job, download)
    if path.exists():
        return path
    job.downloads.mkdir(exist_ok=True)
    with (job.downloads / f".{download.kind}.lock").open("a") as lock:
        lock_file(lock)
        if not path.exists():
            _make(job, download, path)
    return path


def _make(job: Job, download: Download, path: Path) -> None:
    with _PLACES, NamedTemporaryFile("w+", dir=job.downloads) as said:
        process = subprocess.Popen(
            [sys.executable, "-m", f"pipeline.webapp.{download.made_by}", str(job.folder), download.kind, str(path)],
            cwd=job.folder,
            env={**os.environ, "TMPDIR": str(job.downloads)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        with suppress(ProcessLookupError):  # it has ended already
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        code = process.wait()
        said.seek(0)
        *_, last = ["no reason was given", *said.read().strip().splitlines()]
    if code == InputError.exit_code:
        raise InputError(last)
    if code:
        raise StorageError(f"{download.label} could not be made: {last}")
