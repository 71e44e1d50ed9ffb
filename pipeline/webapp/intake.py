"""Looking at what a user gives before anything is computed: what it is, and what is wrong with it, in plain words.

An archive that was uploaded is unpacked once, beside itself; what is found there is what a job later reads. Messages
name files as the user knows them, never folders of the server.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError, InputError
from pipeline.figures.slices import grey_image
from pipeline.volume import confined
from pipeline.volume.description import Description, refuse_unreadable
from pipeline.volume.geometry import Zyx, ZyxNm
from pipeline.volume.greyvalues import GreyValues
from pipeline.volume.objects import local_directory
from pipeline.volume.sources import Policy
from pipeline.volume.sources.packed import PackedSource
from pipeline.volume.sources.registry import format_names, known_formats, suffixes
from pipeline.webapp.locking import lock_file
from pipeline.webapp.settings import Settings
from pipeline.webapp.uploads import FACTS

UNPACKED = "unpacked"


@dataclass(frozen=True)
class Found:
    """A volume that can be segmented.

    name: as the user calls it. location: as `vemseg prepare --input` takes it. kind: in words.
    voxel_size_nm: z, y, x as the file states it; None where the user has to say it.
    size_bytes: of the voxels. notes: what else the user should know.
    preview: the middle slice (y, x), thinned; None where a slice is too large to look at. rows: what it is, in words.
    """

    name: str
    location: str
    kind: str
    shape_zyx: Zyx
    dtype: str
    voxel_size_nm: ZyxNm | None
    size_bytes: int
    notes: tuple[str, ...]
    preview: NDArray[np.uint8] | None
    rows: dict[str, str] = field(default_factory=dict)
    grey_values: GreyValues | None = None


def inspect_upload(path_or_url: str | Path, policy: Policy, room_bytes: int | None = None, cut: str = "") -> Found:
    """Look at a file, a folder or an ``s3://`` URL; an archive in an upload's folder is unpacked there, to `UNPACKED`.

    room_bytes: what an archive may take of the disk when it is unpacked; all that is free, if nothing is said.
    cut: what is taken of the volume, as it stands behind a location; empty: all of it.

    Raises InputError (DataError) saying what is wrong in the user's words, StorageError when the disk is full.
    """
    text = str(path_or_url)
    place = local_directory(text)
    if place is None:
        return _found(text.rstrip("/").rsplit("/", 1)[-1], _inspect(text, text, policy, remote=True, cut=cut))
    if not place.exists():
        raise InputError(f"{place.name}: there is no such file or folder; check how it is spelt")
    try:
        return _found(place.name, _look_at(place, policy, room_bytes, cut))
    except DataError as error:
        raise DataError(_without_folders(str(error), place)) from error


def refuse_other_kinds(name: str) -> None:
    """Raise DataError for a file that by its name is no volume: its bytes need not come."""
    if not name.lower().endswith(suffixes()):
        raise DataError(
            f"{name} is no volume that can be read; give one of: {known_formats()} (a folder as a zip file)"
        )


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


def _look_at(place: Path, policy: Policy, room_bytes: int | None, cut: str) -> Description:
    if place.is_file():
        refuse_other_kinds(place.name)
        refuse_unreadable(place)
        if (place.parent / FACTS).is_file() and place.suffix.lower() in PackedSource.suffixes:
            return _look_into(place, policy, room_bytes, cut)
    return _inspect(place.name, str(place), policy, readable=[place], cut=cut)


def _look_into(archive: Path, policy: Policy, room_bytes: int | None, cut: str) -> Description:
    """Describe what is in an archive, which is unpacked once: a folder that is there is whole."""
    folder, staged = archive.with_name(UNPACKED), archive.with_name(f".{UNPACKED}")
    with (archive.parent / FACTS).open("rb") as lock:
        lock_file(lock)  # a page that is loaded anew meanwhile waits, and finds it done
        if folder.exists():
            return _inspect(archive.name, str(folder), policy, [folder], archive=str(archive), cut=cut)
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        try:
            found = _inspect(
                archive.name,
                str(staged),
                policy,
                [archive],
                writable=[staged],
                archive=str(archive),
                unpack=True,
                room_bytes=room_bytes,
                cut=cut,
            )
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        staged.rename(folder)
    return replace(found, location=found.location.replace(str(staged), str(folder), 1))


def _inspect(
    name: str,
    place: str,
    policy: Policy,
    readable: Sequence[Path] = (),
    *,
    writable: Sequence[Path] = (),
    remote: bool = False,
    cut: str,
    **arguments: Any,
) -> Description:
    """Look at a place in a process that can read nothing else."""
    formats = format_names()
    answer = confined.run(
        "pipeline.volume.description:inspect",
        {"place": place, "policy": policy.as_json(), "formats": formats, "cut": cut, **arguments},
        what=name,
        readable=readable,
        writable=writable,
        modules={each.partition(":")[0] for each in formats},
        remote=remote,
    )
    found = Description.of_answer(answer, name)
    if not (found.location.endswith(cut) and lies_within(found.location.removesuffix(cut), place)):
        raise DataError(f"{name}: cannot be read; the process that looked at it named another place")
    return found


def lies_within(location: str, place: str) -> bool:
    """Whether a location is a place, a file below it, or a part of either: nothing that a link or `..` leads to."""
    if location == place or location.startswith(f"{place}:/"):
        return ".." not in location.removeprefix(place)
    path = local_directory(location.partition(":/")[0])
    return path is not None and path.resolve().is_relative_to(Path(place).resolve())


def _found(name: str, what: Description) -> Found:
    return Found(
        name=name,
        location=what.location,
        kind=what.kind,
        shape_zyx=what.shape_zyx,
        dtype=what.dtype,
        voxel_size_nm=what.voxel_size_nm,
        size_bytes=what.size_bytes,
        notes=tuple(f"{each.text} {each.cure}".strip() for each in what.remarks if each.code != "no-voxel-size"),
        rows=what.rows,
        grey_values=what.grey_values,
        preview=None if what.preview is None else grey_image(what.preview)[..., 0],
    )


def _without_folders(message: str, place: Path) -> str:
    """The message with the user's file name for every path of the server."""
    for folder in (place.with_name(f".{UNPACKED}"), place.with_name(UNPACKED)):
        message = message.replace(f"{folder}/", "").replace(str(folder), place.name)
    return message.replace(f"{place.parent}/", "")
