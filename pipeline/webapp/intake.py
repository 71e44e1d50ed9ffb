"""Looking at what a user gives before anything is computed: what it is, and what is wrong with it, in plain words.

An archive that was uploaded is unpacked once, beside itself; what is found there is what a job later reads. Messages
name files as the user knows them, never folders of the server.
"""

from __future__ import annotations

import fcntl
import shutil
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from urllib.parse import unquote, urlsplit

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError, InputError
from pipeline.volume.archive import extract
from pipeline.volume.geometry import Zyx
from pipeline.volume.image_view import ImageView
from pipeline.volume.objects import local_directory
from pipeline.volume.sources import Source, hdf5, open_source
from pipeline.volume.sources.base import VoxelSize, decoding
from pipeline.volume.sources.packed import only_volume
from pipeline.webapp.limits import Limits, in_words
from pipeline.webapp.references import refuse_references
from pipeline.webapp.settings import Settings
from pipeline.webapp.uploads import FACTS

UNPACKED = "unpacked"
ARCHIVES = (".zip", ".npz")
SUFFIXES = (*ARCHIVES, ".tif", ".tiff", ".mrc", ".rec", ".map", ".mrcs", ".st", ".h5", ".hdf5", ".hdf", ".npy")
"""Endings of files that can be uploaded."""
PREVIEW_PIXELS = 1024
"""Longest side of a preview."""
PREVIEW_BYTES = 2**28
"""A slice that takes more to decode has no preview."""
CHUNK_BYTES = 2**28
"""Volumes stored in larger pieces are refused: each takes as much memory, of the server and of the steps."""


@dataclass(frozen=True)
class Found:
    """A volume that can be segmented.

    name: as the user calls it. location: as `vemseg prepare --input` takes it. kind: in words.
    voxel_size_nm: z, y, x as the file states it; None where the user has to say it.
    size_bytes: of the voxels. notes: what else the user should know.
    preview: the middle slice (y, x), thinned to `PREVIEW_PIXELS`; None where a slice is too large to look at.
    """

    name: str
    location: str
    kind: str
    shape_zyx: Zyx
    dtype: str
    voxel_size_nm: VoxelSize | None
    size_bytes: int
    notes: tuple[str, ...]
    preview: NDArray[np.uint8] | None


def inspect_upload(path_or_url: str | Path, limits: Limits) -> Found:
    """Look at a file, a folder or an ``s3://`` URL; an archive in an upload's folder is unpacked there, to `UNPACKED`.

    Raises InputError (DataError) saying what is wrong in the user's words, StorageError when the disk is full.
    """
    text = str(path_or_url)
    folder = local_directory(text)
    if folder is None:
        return _look(text, text.rstrip("/").rsplit("/", 1)[-1], text, limits)
    if not folder.exists():
        raise InputError(f"{folder.name}: there is no such file or folder")
    try:
        return _look_at(folder, limits)
    except DataError as error:
        raise DataError(_without_folders(str(error), folder)) from error


def permitted(text: str, settings: Settings) -> str:
    """A place that a user names instead of uploading, if the site allows it; links are followed before it is decided.

    Raises InputError naming the places that are allowed.
    """
    wanted = text.strip()
    directory = local_directory(wanted) if wanted else None
    if directory is not None:
        real = directory.resolve()
        folders = [Path(each).resolve() for each in settings.folders if "://" not in each]
        is_ours = real.is_relative_to(settings.data.resolve())  # where everybody's uploads and jobs lie
        if not is_ours and any(real.is_relative_to(folder) for folder in folders):
            return str(real)
    elif any(_below(wanted, each) for each in settings.folders if "://" in each):
        return wanted
    places = ", ".join(settings.folders)
    raise InputError(
        f"{wanted or 'nothing'}: volumes are read from {places} only"
        if places
        else "this server reads no folders and buckets; upload the file"
    )


def _below(url: str, allowed: str) -> bool:
    """As the storage's client reads it, which drops tabs and line ends."""
    wanted, place = urlsplit(url), urlsplit(allowed)
    inside = f"{wanted.path.rstrip('/')}/".startswith(f"{place.path.rstrip('/')}/")
    return wanted[:2] == place[:2] and inside and ".." not in unquote(wanted.path).split("/")


def _look_at(place: Path, limits: Limits) -> Found:
    if place.is_dir():
        return _look(str(place), place.name, f"folder of {_content(place)}", limits)
    _refuse_unreadable(place)
    is_upload = (place.parent / FACTS).is_file()
    if is_upload and place.suffix.lower() in ARCHIVES:
        inside = only_volume(_unpacked(place, limits), place.name)
        return _look(inside, place.name, f"archive of {_content(Path(inside))}", limits)
    if place.suffix.lower() in hdf5.SUFFIXES:
        return _look_at_largest(place, limits)
    return _look(str(place), place.name, _KINDS[place.suffix.lower()], limits)


def _look_at_largest(file: Path, limits: Limits) -> Found:
    """Of several datasets the one with the most voxels is the image; the user is told."""
    with decoding(file.name), h5py.File(file, "r") as opened:
        sizes = {name: prod(shape) for name, shape in hdf5.volumes(opened).items()}
    if len(sizes) < 2:
        return _look(str(file), file.name, "HDF5 dataset", limits)
    largest = max(sizes, key=lambda name: sizes[name])
    found = _look(f"{file}:/{largest}", file.name, f"HDF5 dataset /{largest}", limits)
    return replace(found, notes=(*found.notes, f"Of {len(sizes)} datasets in the file, the largest is taken."))


_KINDS = {
    **dict.fromkeys(ARCHIVES, "archive"),
    **dict.fromkeys(hdf5.SUFFIXES, "HDF5 file"),
    ".tif": "TIFF stack",
    ".tiff": "TIFF stack",
    ".npy": "NumPy array",
    **dict.fromkeys((".mrc", ".rec", ".map", ".mrcs", ".st"), "MRC volume"),
}


def _content(inside: Path) -> str:
    if inside.is_dir():
        return "Zarr" if any((inside / mark).is_file() for mark in ("zarr.json", ".zarray", ".zgroup")) else "slices"
    return f"one {_KINDS.get(inside.suffix.lower(), 'file')}"


def refuse_other_kinds(name: str) -> None:
    """Raise DataError for a file that by its name is no volume: its bytes need not come."""
    if not name.lower().endswith(SUFFIXES):
        raise DataError(
            f"{name} is no volume that can be read; give a zip of PNG or TIFF slices, a TIFF stack, MRC, HDF5, NumPy, "
            "or a zipped OME-Zarr"
        )


def _refuse_unreadable(file: Path) -> None:
    """Say at once what no reader has to find out: an empty file, another kind of file, an archive that is none."""
    if file.stat().st_size == 0:
        raise DataError(f"{file.name} is empty (0 bytes); export the stack again")
    refuse_other_kinds(file.name)
    suffix = file.suffix.lower()
    with file.open("rb") as content:
        head = content.read(4)
    if suffix in ARCHIVES and not head.startswith(b"PK"):
        raise DataError(
            f"{file.name} is not a zip file, although its name ends in {suffix}; pack the slices with your computer's "
            "own 'compress' or 'send to zip'"
        )


def _unpacked(archive: Path, limits: Limits) -> Path:
    """The archive's content, unpacked once: a folder that is there is whole."""
    folder, staged = archive.with_name(UNPACKED), archive.with_name(f".{UNPACKED}")
    with (archive.parent / FACTS).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a page that is loaded anew meanwhile waits, and finds it done
        if not folder.exists():
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir()
            try:
                extract(archive, staged, limits.of_archives)
            except BaseException:
                shutil.rmtree(staged, ignore_errors=True)
                raise
            staged.rename(folder)
    return folder


def _look(location: str, name: str, kind: str, limits: Limits) -> Found:
    with open_source(location, Path("/")) as source:
        refuse_references(location)
        image = ImageView(source, 0, source.shape_zyx[0])
        size_bytes = prod(image.shape_zyx) * image.dtype.itemsize
        if size_bytes > limits.volume_bytes:
            raise DataError(
                f"{name} holds {in_words(size_bytes)} of voxels, at most {in_words(limits.volume_bytes)} are taken; "
                "cut it into parts"
            )
        if source.chunk_bytes > CHUNK_BYTES:
            raise DataError(
                f"{name} is stored in pieces of {in_words(source.chunk_bytes)}, at most {in_words(CHUNK_BYTES)} are "
                "read at once; save it with smaller chunks"
            )
        return Found(
            name=name,
            location=location,
            kind=kind,
            shape_zyx=image.shape_zyx,
            dtype=str(source.dtype),
            voxel_size_nm=source.voxel_size_nm,
            size_bytes=size_bytes,
            notes=tuple(_notes(image, source)),
            preview=_preview(image),
        )


def _notes(image: ImageView, source: Source) -> list[str]:
    depth, height, width = image.shape_zyx
    found = []
    if depth == 1:
        found.append("It is a single slice.")
    if min(height, width) < 32:
        found.append(f"Its slices are tiny ({height} × {width} pixels).")
    if image.dtype != source.dtype:
        found.append(f"Its {source.dtype} voxels are kept as {image.dtype}.")
    return found


def _preview(image: ImageView) -> NDArray[np.uint8] | None:
    from pipeline.scoring.slices import grey_image

    depth, height, width = image.shape_zyx
    if height * width * image.dtype.itemsize > PREVIEW_BYTES:
        return None
    step = -(-max(height, width) // PREVIEW_PIXELS)
    middle = image.read(depth // 2, depth // 2 + 1)[0]
    return grey_image(middle[::step, ::step])[..., 0]


def _without_folders(message: str, place: Path) -> str:
    """The message with the user's file name for every path below its folder."""
    unpacked = place.with_name(UNPACKED)
    for path in (f"{unpacked}/", str(unpacked), f"{place.with_name('.' + UNPACKED)}/", f"{place.parent}/"):
        message = message.replace(path, "")
    return message.replace("below /;", ";")
