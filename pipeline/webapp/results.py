"""What came out of a job: slices to look at, counts, files to take home, volumes for other viewers.

Slices are read where they lie, and no file is handed out that is not what the job wrote. All that takes longer is made
once, in a process of its own (`downloads`), so that the server's memory stays small and its pages answer meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.figures.slices import topmost_class
from pipeline.objects.columns import Table, from_parquet
from pipeline.objects.table import of_class, of_id
from pipeline.run.layout import Run, target_classes
from pipeline.run.shares import SHARES_CSV, read_shares
from pipeline.run.verify import Vouched
from pipeline.volume.geometry import Block, Geometry, Zyx, ZyxNm, zyx
from pipeline.volume.omezarr import Level, Volume
from pipeline.webapp.downloads import (
    COUNTS,
    DOWNLOADS,
    MESH_TYPES,
    OBJECT_DOWNLOADS,
    SCENE,
    Download,
    made,
    object_mesh,
    place_of,
)
from pipeline.webapp.jobs import Job

SLICE_PIXELS = 2048
"""Longest side of a slice; of a larger one a coarser level is shown."""
SPECK_VOXELS = 64
"""Pieces below are specks, mostly noise, and counted apart; of voxels of the level that is counted."""
OBJECTS_PARQUET = "objects.parquet"
_CONTRAST_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class View:
    """How slices across an axis (0: z, 1: y, 2: x) are shown: how many there are, and the size of their pixels."""

    axis: int
    slices: int
    level: int
    rows: int
    columns: int
    row_nm: float
    column_nm: float


@dataclass(frozen=True)
class Whereabouts:
    """Where an object lies, in voxels of the result at full resolution."""

    centre_zyx: Zyx
    start_zyx: Zyx
    stop_zyx: Zyx
    """One past the last."""


@dataclass(frozen=True)
class ClassCount:
    """A class in a result.

    voxels: at full resolution, exactly. share: of all predicted voxels. pieces: connected (by faces) parts of
    at least `SPECK_VOXELS`; specks: the smaller ones; both as counted at pieces_level (0: full resolution).
    """

    number: int
    name: str
    color: str
    voxels: int
    volume_um3: float
    share: float
    pieces: int
    specks: int
    median_piece_um3: float
    pieces_level: int


class Result:
    """The result of a job that is done; `Result.open` it. Its methods may be called from any thread."""

    def __init__(self, job: Job) -> None:
        self._job, self._run = job, Run.open(job.run)
        self.target = job.record.target
        self.image: Volume = self._run.image(self._run.result)
        self.labels: Volume = self._run.segmentation(self.target, self._run.result)
        self.classes: list[tuple[int, str, str]] = target_classes(self._run.config, self.target)
        """Value in label volumes, name and colour of each class; the k-th is number k, from 1, in slices."""

    @classmethod
    def open(cls, job: Job) -> Result:
        """The result of a job. Raises InputError when there is none."""
        if job.state != "done":
            raise InputError(f"{job.name} has no result: it is {job.state}")
        return _opened(job)

    @property
    def geometry(self) -> Geometry:
        """Shape and voxel size of what was segmented; a volume that was made finer is finer than the upload."""
        return self.labels.geometry

    @property
    def shape_zyx(self) -> Zyx:
        """Voxels at full resolution."""
        return self.geometry.shape_zyx

    @property
    def voxel_size_nm(self) -> ZyxNm:
        """Of a voxel at full resolution, z, y, x."""
        return self.geometry.voxel_size_nm

    @property
    def overlapping(self) -> bool:
        """Whether a voxel may be of several classes; slices then show the last one in the order of the classes."""
        return self.labels.dtype == np.uint32

    @cached_property
    def levels(self) -> tuple[tuple[Level, Level], ...]:
        """Image and labels at each resolution that both have, the finest first."""
        pairs = zip(self.image.levels, self.labels.levels, strict=False)
        return tuple((image, labels) for image, labels in pairs if image.geometry == labels.geometry)

    def view(self, axis: int, level: int | None = None) -> View:
        """How slices across an axis are shown, at the level asked for or the finest that is not too large."""
        others = [other for other in range(3) if other != axis]
        if axis not in range(3) or not (level is None or 0 <= level < len(self.levels)):
            raise InputError(f"there is no axis {axis} with a level {level} in this result")
        number = self._level_for(others) if level is None else level
        geometry = self.levels[number][0].geometry
        rows, columns = (geometry.shape_zyx[other] for other in others)
        row_nm, column_nm = (geometry.voxel_size_nm[other] for other in others)
        return View(axis, self.shape_zyx[axis], number, rows, columns, row_nm, column_nm)

    def slice(self, axis: int, index: int, level: int | None = None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Grey values and class numbers (0: none) of a slice; both uint8 (rows, columns), as `view` describes them.

        index: of the slice at full resolution. Raises InputError for a slice outside the volume.
        """
        view = self.view(axis, level)
        if not 0 <= index < view.slices:
            raise InputError(f"there is no slice {index} across axis {axis}; the last one is {view.slices - 1}")
        image, labels = self.levels[view.level]
        there = min(index * image.geometry.shape_zyx[axis] // view.slices, image.geometry.shape_zyx[axis] - 1)
        start, stop = [0, 0, 0], list(image.geometry.shape_zyx)
        start[axis], stop[axis] = there, there + 1
        block = Block((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
        grey = self._read(self.image, image, block).squeeze(axis)
        values = self._read(self.labels, labels, block).squeeze(axis)
        return self._as_grey(grey), self.class_numbers(values)

    def class_numbers(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Stored labels as numbers of classes, from 1; 0 is none."""
        if self.overlapping:
            values = topmost_class(values, len(self.classes))
        numbers: NDArray[np.uint8] = values.astype(np.uint8)  # classes that exclude each other are stored as numbers
        return numbers

    @cached_property
    def background(self) -> int | None:
        """Number of the class that more than half of the voxels are of, if there is one: what the others lie in."""
        shares = [share for _, share in self.shares().values()]
        largest = max(range(len(shares)), key=shares.__getitem__)
        return largest + 1 if len(shares) > 1 and shares[largest] > 0.5 else None

    def shares(self) -> dict[str, tuple[int, float]]:
        """Voxels of each class, and their share of all that are predicted, by name; in the order of the classes."""
        return {each.name: (each.voxels, each.share) for each in read_shares(self._run.evaluation_store)}

    @cached_property
    def object_classes(self) -> tuple[str, ...]:
        """The classes whose objects are told apart, and listed."""
        listed = self._run.evaluation_store.exists(OBJECTS_PARQUET)
        return tuple(self._run.instances.values()) if listed else ()

    def objects(self, class_name: str) -> Table:
        """The table of the objects of a class, the largest first."""
        return of_class(from_parquet(self.table(OBJECTS_PARQUET)), class_name).sort_by([("voxels", "descending")])

    def whereabouts(self, row: Mapping[str, Any]) -> Whereabouts:
        """Where an object, a row of its table, lies among the voxels of the result."""
        place: dict[str, list[int]] = {}
        for name, half in (("centroid", 0.0), ("box_start", 0.5), ("box_stop", 0.5)):
            axes = zip("zyx", self.voxel_size_nm, self.geometry.translation_nm, self.shape_zyx, strict=True)
            found = [(round((row[f"{name}_{axis}_nm"] - origin) / size + half), n) for axis, size, origin, n in axes]
            place[name] = [min(max(0, voxel), n - (name == "centroid")) for voxel, n in found]
        return Whereabouts(*(zyx(place[name], name) for name in ("centroid", "box_start", "box_stop")))

    def table(self, name: str) -> bytes:
        """A table that the job wrote. Raises InputError where there is none, or it is not what the job wrote."""
        if not self.object_classes:
            raise InputError(f"no objects were told apart in {self._job.name}: its model has not learnt to")
        self._refuse_damaged([f"evaluation/{name}"])
        return self._run.evaluation_store.read(name)

    @property
    def downloads(self) -> dict[str, Download]:
        """The files that can be made of it."""
        return DOWNLOADS | (OBJECT_DOWNLOADS if self.object_classes else {})

    def download_size(self, kind: str) -> int | None:
        """Bytes of a file of `downloads`: as it was made, or about as it will be; None where that cannot be told."""
        path = place_of(self._job, self.downloads[kind])
        if path.exists():
            return path.stat().st_size
        if kind == "tiff":
            return self.labels.array.nbytes
        if kind == "ome-zarr":
            image, labels = _folder(self.image), _folder(self.labels)
            whole = [image] if labels.is_relative_to(image) else [image, labels]
            return sum(file.stat().st_size for folder in whole for file in folder.rglob("*") if file.is_file())
        return None

    def class_counts(self) -> list[ClassCount]:
        """Voxels, volume, share and pieces of each class; counted when it is first asked for."""
        return [ClassCount(**fields) for fields in json.loads(made(self._job, COUNTS).read_text(encoding="utf-8"))]

    def scene(self) -> Path:
        """A page with the classes' surfaces to turn around; made when it is first asked for."""
        return made(self._job, SCENE)

    def download(self, kind: str) -> Path:
        """A file of `downloads`; made when it is first asked for, and kept. Raises InputError for another kind."""
        if kind not in self.downloads:
            raise InputError(f"there is no download {kind!r}; there are {', '.join(self.downloads)}")
        return made(self._job, self.downloads[kind])

    def object_mesh(self, class_name: str, object_id: int, ending: str) -> Path:
        """The mesh of an object; made when it is first asked for. Raises InputError where there is no such object."""
        if class_name not in self.object_classes or ending not in MESH_TYPES:
            raise InputError(f"there is no mesh {class_name}-{object_id}.{ending}")
        if not len(of_id(self.objects(class_name), object_id)):
            raise InputError(f"there is no object {object_id} of {class_name}")
        return made(self._job, object_mesh(class_name, object_id, ending))

    def volumes(self) -> dict[str, Path]:
        """The folders of the OME-Zarr volumes, for viewers that read them piece by piece."""
        return {"raw": _folder(self.image), "labels": _folder(self.labels)}

    def file(self, volume: str, name: str) -> Path | None:
        """A file of one of the volumes; None where there is none, as of a shard that holds nothing but zeros.

        Raises InputError when it is not what the job wrote, and KeyError for another volume.
        """
        folder = self.volumes()[volume].resolve()
        path = (folder / name).resolve()
        if not path.is_relative_to(folder):
            return None
        self._refuse_damaged([path.relative_to(self._job.run.resolve()).as_posix()])
        return path if path.is_file() else None

    def refuse_damaged(self) -> None:
        """Raise InputError when image, classes or their shares are not what the job wrote."""
        self._refuse_damaged([f"evaluation/{SHARES_CSV}"])
        for volume in (self.image, self.labels):
            for level in volume.levels:
                self._refuse_damaged(self._keys(volume, level, level.geometry.block))

    def _read(self, volume: Volume, level: Level, block: Block) -> NDArray[Any]:
        self._refuse_damaged(self._keys(volume, level, block))
        return level.read(block)

    def _keys(self, volume: Volume, level: Level, block: Block) -> Iterator[str]:
        place = volume.store.url.removeprefix(f"{self._run.store.url}/")
        return (f"{place}/{key}" for key in level.keys(block))

    def _refuse_damaged(self, keys: Iterable[str]) -> None:
        for key in keys:
            problem = self._vouched.problem_of(key)
            if problem:
                raise InputError(
                    f"the result of {self._job.name} was damaged on the server's disk: {key} {problem}. Segment the "
                    "volume again, and tell whoever runs this server"
                )

    @cached_property
    def _vouched(self) -> Vouched:
        return Vouched(self._run.store)

    def _level_for(self, axes: list[int]) -> int:
        for number, (image, _) in enumerate(self.levels):
            if max(image.geometry.shape_zyx[axis] for axis in axes) <= SLICE_PIXELS:
                return number
        return len(self.levels) - 1

    @cached_property
    def _contrast(self) -> tuple[float, float]:
        """The grey values shown as black and as white: the same for all slices, from the coarsest level."""
        level = self.image.levels[-1]
        grey = self._read(self.image, level, level.geometry.block)
        low, high = np.percentile(grey.astype(np.float32), _CONTRAST_PERCENTILES)
        return float(low), float(max(high, low + 1e-6))

    def _as_grey(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        low, high = self._contrast
        stretched = np.clip((values.astype(np.float32) - low) / (high - low), 0, 1)
        grey: NDArray[np.uint8] = np.rint(255 * stretched).astype(np.uint8)
        return grey


@lru_cache(maxsize=64)
def _opened(job: Job) -> Result:
    return Result(job)


def _folder(volume: Volume) -> Path:
    path = volume.store.local_path()
    assert path is not None  # a job's run lies in its folder
    return path
