"""Surfaces as files for other programs: PLY with the colour of the class, and STL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import InputError, StorageError
from pipeline.scoring.render.surfaces import Surface

if TYPE_CHECKING:
    from pyvista import PolyData

FORMATS = (".ply", ".stl")


def write_mesh(surface: Surface, path: Path) -> Path:
    """Write a surface as binary PLY or STL, by the ending of the path; the file appears when it is complete.

    Positions are nanometres (x, y, z). PLY carries the colour at each corner; STL has none.
    Raises InputError for another ending or an empty surface, and StorageError where it cannot be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: a mesh is written as {' or '.join(FORMATS)}; choose one of these endings")
    if not len(surface.triangles):
        raise InputError(f"{path}: {surface.style.name!r} has no voxels here, so there is no surface to write")
    partial = path.with_name(f".partial-{path.name}")
    mesh = polydata(surface)
    color = np.tile(np.frombuffer(bytes.fromhex(surface.style.color[1:]), np.uint8), (mesh.n_points, 1))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mesh.save(partial, binary=True, texture=color if path.suffix.lower() == ".ply" else None)
        partial.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: the mesh was not written ({error}); check free space and permissions") from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def polydata(surface: Surface) -> PolyData:
    """Return a surface as PyVista's mesh."""
    import pyvista

    mesh: PolyData = pyvista.make_tri_mesh(surface.points_nm.astype(np.float64), surface.triangles.astype(int))
    return mesh
