"""The surface of one object of a run, where it lies in the space of the volume; as PLY, STL or precomputed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.figures.render.surfaces import (
    MESH_FORMATS,
    MOST_VOXELS,
    Style,
    Surface,
    decimated,
    mask_surface,
    write_mesh,
)
from pipeline.objects.table import of_class, of_id
from pipeline.run.layout import Run
from pipeline.run.objecttables import OBJECTS, known_class, read_table
from pipeline.volume.coarse import coarse_labels
from pipeline.volume.geometry import Block, zyx
from pipeline.volume.stores import whole_file

MOST_OBJECT_TRIANGLES = 100_000
PRECOMPUTED = {"@type": "neuroglancer_legacy_mesh"}
"""What a folder with meshes of the old format, of one resolution, says of itself in `info`."""


def object_surface(run: Run, class_name: str | None, object_id: int, capture: str | None = None) -> Surface:
    """Return the surface of an object, in nanometres of the space of its capture (OME-Zarr's translation included).

    A large object is looked at on coarser voxels.

    Args:
        run: whose objects are told apart and measured.
        class_name: of the object; needed where objects of several classes are told apart.
        object_id: its value in the volume of objects, and in their table.
        capture: where the run has several with such an object.

    Raises:
        InputError: there is no such object, or more than one.
        RunConflictError: the run has no table of objects.
    """
    name = _only("class", run.instances.values()) if class_name is None else known_class(run, class_name)
    rows = of_class(read_table(run, OBJECTS), name)
    found = [row for row in of_id(rows, object_id).to_pylist() if capture in (None, row["capture"])]
    if not found:
        known = ", ".join(map(str, rows["capture"].unique().to_pylist())) or "none"
        raise InputError(f"there is no object {object_id} of {name}; captures with some are: {known}")
    _only("capture", [str(row["capture"]) for row in found])
    (row,) = found
    box = Block(*(zyx([row[f"box_{end}_{axis}_voxel"] for axis in "zyx"], "box") for end in ("start", "stop")))

    def own(ids: NDArray[Any]) -> NDArray[np.uint8]:
        inside: NDArray[np.uint8] = (ids == ids.dtype.type(object_id)).astype(np.uint8)
        return inside

    seen = coarse_labels(run.objects(name, str(row["capture"])), MOST_VOXELS, box, as_ids=own)
    members = {member.name: member.color for member in run.config.classes.members}
    style = Style(f"{name} {object_id}", members[name])
    (surface,) = decimated(
        [mask_surface(seen.ids > 0, style, seen.voxel_size_nm, is_closed=True)], MOST_OBJECT_TRIANGLES
    )
    points_nm = surface.points_nm.astype(np.float64) + np.array(seen.corner_nm[::-1])
    return replace(surface, points_nm=points_nm.astype(np.float32))


def write_object_mesh(surface: Surface, object_id: int, path: Path) -> Path:
    """Write a surface by the ending of the path: .ply, .stl, or without one a folder of precomputed meshes.

    Raises InputError for another ending, a folder of something else or an empty surface, and StorageError where it
    cannot be written.
    """
    if path.suffix:
        return write_mesh(surface, path)
    return _write_precomputed(surface, object_id, path)


def _write_precomputed(surface: Surface, object_id: int, folder: Path) -> Path:
    """Add a mesh to a folder that Neuroglancer reads as meshes of segments: the old format of one resolution.

    It is told under "Legacy single-resolution mesh format" in
    https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/meshes.md.
    """
    if not len(surface.triangles):
        raise InputError(f"{folder}: {surface.style.name!r} has no voxels here, so there is no surface to write")
    if folder.exists() and not _holds_precomputed(folder / "info"):
        raise InputError(
            f"{folder}: is no folder of precomputed meshes; name another one, or a file that ends in "
            f"{' or '.join(MESH_FORMATS)}"
        )
    fragment = f"{object_id}.mesh"
    contents = {
        "info": json.dumps(PRECOMPUTED).encode(),
        fragment: np.uint32(len(surface.points_nm)).astype("<u4").tobytes()
        + surface.points_nm.astype("<f4").tobytes()
        + surface.triangles.astype("<u4").tobytes(),
        f"{object_id}:0": json.dumps({"fragments": [fragment]}).encode(),
    }
    for name, content in contents.items():
        with whole_file(folder / name, "the mesh") as partial:
            partial.write_bytes(content)
    return folder


def _holds_precomputed(info: Path) -> bool:
    """Whether a file is the `info` of such a folder; other programs call files so, too."""
    try:
        return bool(json.loads(info.read_bytes()) == PRECOMPUTED)
    except (OSError, ValueError):
        return False


def _only(what: str, names: Iterable[str]) -> str:
    """The only one of some names; InputError where there are several."""
    distinct = list(dict.fromkeys(names))
    if len(distinct) != 1:
        raise InputError(f"say which {what} it is of, with --{what}: {', '.join(distinct) or 'there is none'}")
    return str(distinct[0])
