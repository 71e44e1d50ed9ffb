"""The tables of objects and of their contacts, out of sums."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, prod

import numpy as np
import pyarrow.compute
from numpy.typing import NDArray

from pipeline.objects.columns import WHERE, Column, Table, arrow_table, empty_table, joined
from pipeline.objects.sums import CROSSINGS, CUT, POSITIONS, PRODUCTS, SQUARES, VOXELS, Contacts, Measured, ObjectSums
from pipeline.objects.surface import Lines
from pipeline.volume.geometry import Geometry

Floats = NDArray[np.float64]
MOMENT_LIMIT = 2.0**62
"""Where extent² × voxels of an object is larger, its axes are not told: their sums might not fit into 64 bits."""


def _along(name: str, unit: str, kind: str, meaning: str) -> list[Column]:
    return [Column(f"{name}_{axis}{unit}", kind, meaning.format(axis=axis)) for axis in "zyx"]


OBJECT_COLUMNS = (
    *WHERE,
    Column("id", "uint64", "the object's value in the volume of objects of its class"),
    Column("voxels", "int64", "voxels of the object"),
    Column("volume_nm3", "double", "voxels × volume of a voxel"),
    Column("surface_nm2", "double", "Crofton's estimate from lines in 13 directions, the cut included"),
    Column("cut_nm2", "double", "area of the cut where the volume, or what was predicted of it, ends"),
    Column("sphericity", "double", "surface of a ball of the same volume ÷ surface"),
    *_along(
        "centroid", "_voxel", "double", "mean {axis} of the centres of its voxels; the first voxel of the volume is 0"
    ),
    *_along("centroid", "_nm", "double", "the same in the space of the volume, its translation included"),
    *_along("box_start", "_voxel", "int64", "first voxel along {axis}"),
    *_along("box_stop", "_voxel", "int64", "one past the last voxel along {axis}"),
    *_along("box_start", "_nm", "double", "outer side of the first voxel along {axis}"),
    *_along("box_stop", "_nm", "double", "outer side of the last voxel along {axis}"),
    Column("touches_face", "bool", "whether it reaches a face of the volume, or of what was predicted, and may go on"),
    Column("axis_major_nm", "double", "longest axis of the ellipsoid with the same second moments"),
    Column("axis_middle_nm", "double", "its second axis"),
    Column("axis_minor_nm", "double", "its shortest axis"),
    *_along("direction", "", "double", "{axis} of the unit vector along the longest axis, in nm; the first above 0"),
    Column(
        "membrane_distance_nm",
        "double",
        "least distance between centres of its voxels and of membrane; none beyond the limit",
    ),
    Column("other_class_distance_nm", "double", "the same to an object of another class"),
    Column("contacts", "int64", "objects, of this class or another, that share a face of voxels with it"),
    Column("contact_nm2", "double", "area of these faces"),
)
CONTACT_COLUMNS = (
    WHERE[0],
    Column("class", "string", "class of the first object"),
    Column("id", "uint64", "its id"),
    Column("other_class", "string", "class of the second object"),
    Column("other_id", "uint64", "its id"),
    Column("area_nm2", "double", "area of the faces of voxels that they share"),
)


@dataclass(frozen=True)
class ClassSummary:
    """The objects of one class at a glance."""

    name: str
    volumes_nm3: Floats
    """Of every object, in the order of the table."""
    cut: int
    """How many reach the end of what was predicted."""
    touching: int
    """How many share a face of voxels with another object."""

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.volumes_nm3)

    @property
    def median_um3(self) -> float | None:
        """Median volume; None where there is no object."""
        return float(np.median(self.volumes_nm3)) / 1e9 if self.count else None

    @property
    def total_um3(self) -> float:
        """Volume of all of them."""
        return float(self.volumes_nm3.sum()) / 1e9


def of_class(table: Table, name: str) -> Table:
    """The rows of one class."""
    return table.filter(pyarrow.compute.equal(table["class"], name))


def of_id(table: Table, object_id: int) -> Table:
    """The rows of one id; none of a number that is no id."""
    if not 0 <= object_id < 2**64:
        return table.slice(0, 0)
    return table.filter(pyarrow.compute.equal(table["id"], pyarrow.scalar(object_id, pyarrow.uint64())))


def summary(objects: Table, name: str) -> ClassSummary:
    """What a table of objects says of a class."""
    own = of_class(objects, name)
    cut, contacts = (own[column].to_numpy(zero_copy_only=False) for column in ("touches_face", "contacts"))
    volumes: Floats = own["volume_nm3"].to_numpy()
    return ClassSummary(name, volumes, int(np.count_nonzero(cut)), int(np.count_nonzero(contacts)))


def object_table(measured: Measured, geometry: Geometry, capture: str = "volume") -> Table:
    """The table of all objects, by class in the order of `measured` and by rising id."""
    touching = _touching(measured, geometry)
    parts = [_rows(capture, name, sums, geometry, *touching[name]) for name, sums in measured.objects.items()]
    return joined([empty_table(OBJECT_COLUMNS), *parts])


def contact_table(measured: Measured, geometry: Geometry, capture: str = "volume") -> Table:
    """The table of all pairs of objects that touch, each once."""
    parts = [
        arrow_table(
            CONTACT_COLUMNS,
            [
                [capture] * len(c.ids),
                [one] * len(c.ids),
                c.ids[:, 0],
                [other] * len(c.ids),
                c.ids[:, 1],
                _area(c, geometry),
            ],
        )
        for (one, other), c in measured.contacts.items()
    ]
    return joined([empty_table(CONTACT_COLUMNS), *parts])


def _rows(
    capture: str, name: str, sums: ObjectSums, geometry: Geometry, contacts: NDArray[np.int64], contact_nm2: Floats
) -> Table:
    size = np.array(geometry.voxel_size_nm)
    voxels = sums.totals[:, VOXELS][:, 0]
    volume = voxels * prod(geometry.voxel_size_nm)
    surface = sums.totals[:, CROSSINGS] @ Lines(geometry.voxel_size_nm).crossing_nm2
    cut = sums.totals[:, CUT]
    centroid, axes, direction = _moments(sums, size)
    translation = np.array(geometry.translation_nm)
    return arrow_table(
        OBJECT_COLUMNS,
        [
            [capture] * len(voxels),
            [name] * len(voxels),
            sums.ids[:, 0],
            voxels,
            volume,
            surface,
            cut @ _face_nm2(geometry),
            pi ** (1 / 3) * (6 * volume) ** (2 / 3) / surface,
            *centroid.T,
            *(centroid * size + translation).T,
            *sums.low.T,
            *sums.high.T,
            *((sums.low - 0.5) * size + translation).T,
            *((sums.high - 0.5) * size + translation).T,
            cut.any(axis=1),
            *axes.T,
            *direction.T,
            *np.where(np.isfinite(sums.nearest_nm), sums.nearest_nm, np.nan).T,
            contacts,
            contact_nm2,
        ],
    )


def _moments(sums: ObjectSums, size_nm: Floats) -> tuple[Floats, Floats, Floats]:
    """Centroids in voxels; lengths of the three axes in nm, longest first; unit vectors of the longest: (objects, 3).

    Sums from the first voxel of an object's box are small: exact, although those from the volume's are modulo 2**64.
    """
    n, low = sums.totals[:, VOXELS], sums.low
    positions = sums.totals[:, POSITIONS] - n * low
    mean = positions / n
    covariance = np.empty((len(n), 3, 3))
    for column, (a, b) in enumerate(PRODUCTS):
        raw = sums.totals[:, SQUARES][:, column] - low[:, a] * sums.totals[:, POSITIONS][:, b]
        products = raw - low[:, b] * positions[:, a]
        own = size_nm[a] ** 2 / 12 if a == b else 0.0  # a voxel is a box, not a point
        value = (products / n[:, 0] - mean[:, a] * mean[:, b]) * size_nm[a] * size_nm[b] + own
        covariance[:, a, b] = covariance[:, b, a] = value
    values, vectors = np.linalg.eigh(covariance)
    axes = np.sqrt(20 * np.maximum(values[:, ::-1], 0))  # an ellipsoid's variance along a half axis is its square / 5
    direction = vectors[:, :, -1]
    first = np.take_along_axis(direction, np.argmax(np.abs(direction) > 1e-9, axis=1)[:, None], axis=1)
    direction = direction * np.sign(first) + 0.0
    told = ((sums.high - low).max(axis=1) ** 2.0 * n[:, 0] < MOMENT_LIMIT)[:, None]
    return mean + low, np.where(told, axes, np.nan), np.where(told, direction, np.nan)


def _touching(measured: Measured, geometry: Geometry) -> dict[str, tuple[NDArray[np.int64], Floats]]:
    """Of each object of each class: how many others it touches, and over how much area."""
    found = {
        name: (np.zeros(len(sums.ids), np.int64), np.zeros(len(sums.ids))) for name, sums in measured.objects.items()
    }
    for pair, contacts in measured.contacts.items():
        area = _area(contacts, geometry)
        for side, name in enumerate(pair):
            places = np.searchsorted(measured.objects[name].ids[:, 0], contacts.ids[:, side])
            np.add.at(found[name][0], places, 1)
            np.add.at(found[name][1], places, area)
    return found


def _area(contacts: Contacts, geometry: Geometry) -> Floats:
    area: Floats = contacts.faces @ _face_nm2(geometry)
    return area


def _face_nm2(geometry: Geometry) -> Floats:
    """Area of the faces of a voxel across z, y and x."""
    return np.array([prod(geometry.voxel_size_nm) / length for length in geometry.voxel_size_nm])
