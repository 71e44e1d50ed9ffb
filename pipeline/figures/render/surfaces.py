"""Surfaces of labels: smooth, in nanometres, of a bounded number of triangles; and as mesh files (PLY, STL).

The surface of a label is a surface net (Gibson, "Constrained elastic surface nets", 1998; VTK's vtkSurfaceNets3D),
smoothed by a low-pass filter (Taubin, "A signal processing approach to fair surface design", 1995), which keeps the
volume: the net's own smoothing takes six tenths of a vesicle three voxels in radius. VTK 9.7.2 has such a filter, which
ends the process on some nets of real segmentations. It is smoothed in voxels and scaled afterwards, lest thick slices
count for more than thin axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from pipeline.errors import InputError
from pipeline.figures.palette import BLACK, WHITE, mix, rgb
from pipeline.volume.geometry import ZyxNm
from pipeline.volume.stores import whole_file

if TYPE_CHECKING:
    from pyvista import PolyData

MOST_TRIANGLES = 400_000
"""Of all surfaces of a scene together: a phone still turns it, and the file is well below 15 MB."""
MOST_VOXELS = 3_500_000
"""Of an array to make surfaces of: the details of a larger one cost time, and are decimated away again."""

_SMOOTHING = (0.5, -0.53)
"""Steps towards the mean of the neighbours: what is wider than some six voxels stays as it is."""
_SMOOTHINGS = 20
_MOST_REDUCTION = 8
"""By how much edges alone are collapsed: of a surface with more triangles, points are gathered in bins first."""

BANDS = 80
"""Of a banded surface along the volume's diagonal, one half of them in each colour."""

MESH_FORMATS = (".ply", ".stl")

Pattern = Literal["plain", "dark bands", "light bands"]
Points = NDArray[np.float32]
Triangles = NDArray[np.int32]


@dataclass(frozen=True)
class Style:
    """How a surface looks and what it is called: `name` within `group`, such as "missed" in "mitochondria"."""

    name: str
    color: str
    """#rrggbb"""
    group: str = ""
    opacity: float = 1.0
    pattern: Pattern = "plain"
    shown: bool = True
    """Whether a scene shows it at first."""

    @property
    def band_color(self) -> str:
        """The colour between which and its own a banded surface alternates; its own where it is plain."""
        towards = {"plain": self.color, "dark bands": BLACK, "light bands": WHITE}[self.pattern]
        return mix(self.color, towards, 0.7)


@dataclass(frozen=True)
class Surface:
    """Triangles around the voxels of a label."""

    style: Style
    points_nm: Points
    """Corners (n, 3) as x, y, z; the origin is the first corner of voxel (0, 0, 0), or that of the volume's space."""
    triangles: Triangles
    """Three corners each, (m, 3), counter-clockwise seen from outside."""
    voxels: int
    """How many voxels have the label: of the array, or of the finer one that it stands for."""


def class_styles(class_names: Sequence[str], colors: Sequence[str], background: int = 0) -> dict[int, Style]:
    """Return the style of each class of a segmentation by its id, which counts from 1. Colours are #rrggbb.

    `background` is the id of the class that fills the volume, which a scene hides at first; 0 for none.
    """
    named = enumerate(zip(class_names, colors, strict=True), start=1)
    return {index: Style(name, color, shown=index != background) for index, (name, color) in named}


def surfaces(
    ids: NDArray[np.integer[Any]],
    styles: Mapping[int, Style],
    voxel_size_nm: ZyxNm,
    voxels: Mapping[int, int] | None = None,
    *,
    most_triangles: int = MOST_TRIANGLES,
) -> list[Surface]:
    """Return the surface of each label that has a style and occurs in the array (z, y, x).

    `voxel_size_nm` is z, y, x. `voxels` says how many each label has, where the array is coarser than what they are
    counted in; None: those of the array. Together they have about `most_triangles`: the largest are decimated first, so
    that small ones keep their shape. Surfaces are closed at the faces of the array.
    Raises InputError for an array that is not three-dimensional or not of whole numbers.
    """
    if ids.ndim != 3 or ids.dtype.kind not in "bui":
        raise InputError(f"surfaces of a {ids.dtype} array of shape {ids.shape}: give class ids (z, y, x)")
    found = {label: mask_surface(ids == label, style, voxel_size_nm) for label, style in styles.items()}
    counted = [
        replace(surface, voxels=voxels[label]) if voxels else surface
        for label, surface in found.items()
        if surface.voxels
    ]
    return decimated(counted, most_triangles)


def mask_surface(mask: NDArray[np.bool_], style: Style, voxel_size_nm: ZyxNm, *, is_closed: bool = False) -> Surface:
    """Return the smooth surface of a mask (z, y, x), with all the triangles that it has.

    With `is_closed` it has no holes where voxels meet diagonally. Of noise, which has thousands of such places, it
    cannot be decimated well then.
    """
    import pyvista

    box = _bounding_box(mask)
    if box is None:
        return Surface(style, np.empty((0, 3), np.float32), np.empty((0, 3), np.int32), 0)
    inside = np.pad(mask[box].astype(np.uint8), 1)  # VTK takes nothing for a volume that is one voxel thick
    image = pyvista.ImageData(dimensions=inside.shape[::-1])
    image.point_data["inside"] = inside.ravel()
    net = image.contour_labels("strict_external", output_mesh_type="triangles", scalars="inside", smoothing=False)
    triangles = np.asarray(net.faces, np.int32).reshape(-1, 4)[:, 1:]
    corners = np.asarray(net.points, np.float32)
    smooth = _smoothed(corners, triangles)
    if is_closed:
        smooth = _joined(smooth, corners)
    start_xyz = np.array([side.start - 1 for side in box[::-1]], np.float32)
    # Points of the image are the centres of voxels.
    points_nm = (smooth + start_xyz + 0.5) * np.array(voxel_size_nm[::-1], np.float32)
    return Surface(style, points_nm, np.ascontiguousarray(triangles), int(np.count_nonzero(inside)))


def _joined(smooth: Points, net: Points) -> Points:
    """Smoothed corners, those in their middle that lie at one place of the net.

    Where voxels meet diagonally, two sheets pass through one cell, and VTK 9.7.2 gives them corners of their own at one
    place, not alike on both sides of a face: smoothed apart from each other, they would leave a hole.
    """
    halves = np.rint(2 * net).astype(np.int64)  # corners of a net lie in the middle between eight voxels
    keys = np.ravel_multi_index(tuple(halves.T), tuple(halves.max(axis=0) + 1))
    _, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(places, weights=axis) for axis in smooth.T], axis=1)
    return np.where(counts[places, None] > 1, (sums / counts[:, None])[places], smooth).astype(np.float32)


def _smoothed(points: Points, triangles: Triangles) -> Points:
    """Corners moved towards the mean of their neighbours and back again, a little farther, so that nothing shrinks."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    ones = np.ones(len(edges), np.float32)
    neighbours = coo_array((ones, (edges[:, 0], edges[:, 1])), shape=(len(points),) * 2).tocsr()
    neighbours = neighbours + neighbours.T
    neighbours.data[:] = 1
    counts = np.maximum(neighbours.sum(axis=1), 1)[:, None]
    for step in _SMOOTHING * _SMOOTHINGS:
        points = points + np.float32(step) * (neighbours @ points / counts - points)
    return points


def decimated(found: Sequence[Surface], most_triangles: int) -> list[Surface]:
    """Return the surfaces with at most about so many triangles together."""
    allowed = shares([len(surface.triangles) for surface in found], most_triangles)
    # One after the other: the library keeps its mesh in global variables, and two at a time would mix theirs.
    return list(map(_simplified, found, allowed))


def shares(wanted: Sequence[int], total: int) -> list[int]:
    """Return how much of `total` each gets: all that it wants if that is little, else an equal part of the rest."""
    given = [0] * len(wanted)
    for place, index in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        given[index] = min(wanted[index], (total - sum(given)) // (len(wanted) - place))
    return given


def write_mesh(surface: Surface, path: Path) -> Path:
    """Write a surface as binary PLY or STL, by the ending of the path; the file appears when it is complete.

    Positions are nanometres (x, y, z). PLY carries the colour at each corner; STL has none.
    Raises InputError for another ending or an empty surface, and StorageError where it cannot be written.
    """
    if path.suffix.lower() not in MESH_FORMATS:
        raise InputError(f"{path}: a mesh is written as {' or '.join(MESH_FORMATS)}; choose one of these endings")
    if not len(surface.triangles):
        raise InputError(f"{path}: {surface.style.name!r} has no voxels here, so there is no surface to write")
    mesh = polydata(surface)
    color = np.tile(np.array(rgb(surface.style.color), np.uint8), (mesh.n_points, 1))
    with whole_file(path, "the mesh") as partial:
        mesh.save(partial, binary=True, texture=color if path.suffix.lower() == ".ply" else None)
    return path


def polydata(surface: Surface) -> PolyData:
    """Return a surface as PyVista's mesh."""
    import pyvista

    mesh: PolyData = pyvista.make_tri_mesh(surface.points_nm.astype(np.float64), surface.triangles.astype(int))
    return mesh


def _simplified(surface: Surface, most: int) -> Surface:
    """Collapse edges by the quadric error (Garland and Heckbert 1997)."""
    import fast_simplification

    if len(surface.triangles) <= most:
        return surface
    most = max(most, 4)
    points, triangles = surface.points_nm, surface.triangles
    if len(triangles) > _MOST_REDUCTION * most:
        points, triangles = _gathered(points, triangles, len(triangles) / (_MOST_REDUCTION * most))
    if len(triangles) > most:
        points, triangles = fast_simplification.simplify(points, triangles, target_count=most)
    return Surface(surface.style, points.astype(np.float32), triangles.astype(np.int32), surface.voxels)


def _gathered(points: Points, triangles: Triangles, reduction: float) -> tuple[Points, Triangles]:
    """Gather the points of each cubic bin in one (Rossignac and Borrel 1993), for about `reduction` times fewer.

    The surface of noise has so many holes that collapsing edges never ends; this takes a fiftieth of the time.
    """
    import pyvista
    from vtkmodules.vtkFiltersCore import vtkBinnedDecimation

    first, second = points[triangles[:, 0]], points[triangles[:, 1]]
    side = float(np.median(np.linalg.norm(first - second, axis=1))) * 1.5 * reduction**0.5
    gather = vtkBinnedDecimation()
    gather.SetInputData(pyvista.make_tri_mesh(points.astype(np.float64), triangles.astype(int)))
    gather.AutoAdjustNumberOfDivisionsOff()
    gather.SetNumberOfDivisions(*(max(1, round(extent / side)) for extent in np.ptp(points, axis=0).tolist()))
    gather.SetPointGenerationModeToBinAverages()
    gather.Update()
    mesh = pyvista.wrap(gather.GetOutput())
    return np.asarray(mesh.points, np.float32), np.asarray(mesh.regular_faces, np.int32)


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, slice, slice] | None:
    sides = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(hit):
            return None
        sides.append(slice(int(hit[0]), int(hit[-1]) + 1))
    z, y, x = sides
    return z, y, x
