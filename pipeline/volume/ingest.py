"""Ingest: a labelled capture in any readable format becomes an OME-Zarr image with ``labels/truth`` below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigError, DataError
from pipeline.volume.geometry import Geometry, Zyx
from pipeline.volume.grid import default_grid
from pipeline.volume.image_view import ImageView
from pipeline.volume.intensity import Intensity, IntensityHistogram
from pipeline.volume.labels import ClassMap
from pipeline.volume.omezarr import build_pyramid, create_image, create_labels
from pipeline.volume.sources import Source, open_source
from pipeline.volume.sources.base import VoxelSize
from pipeline.volume.stores import Store
from pipeline.volume.streaming import shards
from pipeline.volume.truth import FILL, TruthView, open_truth

__all__ = ["FILL", "TRUTH", "IngestedCapture", "ingest_capture", "labelled_runs"]

TRUTH = "truth"

# Two statements of a voxel size agree up to this share: pixel sizes are rounded when they are written down.
_VOXEL_SIZE_TOLERANCE = 0.01


@dataclass(frozen=True)
class IngestedCapture:
    """What was found while a capture was written.

    class_voxels: labelled voxels of each class by name, in order; None where no labels were given.
    unlabelled_voxels: those nobody labelled.
    """

    name: str
    geometry: Geometry
    dtype: str
    intensity: Intensity
    class_voxels: dict[str, int] | None
    unlabelled_voxels: int


def ingest_capture(
    store: Store,
    *,
    name: str,
    raw: str,
    base: Path,
    labels: str | Mapping[str, str] | None = None,
    classes: ClassMap | None = None,
    voxel_size_nm: VoxelSize | None = None,
    labelled_slices: Sequence[int] | None = None,
    slices: tuple[int, int] | None = None,
    grid: tuple[Zyx, Zyx] | None = None,
    count_voxels: Callable[[int], object] | None = None,
) -> IngestedCapture:
    """Write a capture to the store as an OME-Zarr image and, with labels, its ``labels/truth``.

    raw, labels: locations as `open_source` takes them, relative to `base`; labels are one volume of ids, or a
    location of a mask for each class name (`FILL` for one of them). They need `classes`.
    voxel_size_nm: (z, y, x); None takes it from the raw file.
    labelled_slices: slices of the raw volume that are labelled, when not all are. The label files then hold all
    slices, or these only, in ascending order.
    slices: start and stop (excluded) of the slices that make the capture; None takes all.
    grid: sides of chunk and shard (z, y, x); None takes `default_grid`.
    count_voxels: told the voxels of each shard of the image once it is written.

    Input is checked, labels to the last voxel, before anything is written; NaN in a float image is found on the
    way. The same input gives the same bytes, so an interrupted ingest is simply run again.
    Raises DataError naming file and cure for input that cannot be used, ConfigError for contradicting arguments.
    """
    with ExitStack() as opened:
        source = opened.enter_context(open_source(raw, base))
        span = _span(slices, source)
        image = ImageView(source, span.start, span.stop)
        geometry = _geometry(image, voxel_size_nm, span.start)
        truth = None
        if labels is not None:
            if classes is None:
                raise ConfigError("labels are given without classes; list the classes and their ids")
            truth = open_truth(opened, labels, base, classes, source, labelled_slices=labelled_slices, span=span)
        class_voxels, unlabelled_voxels = _counts(truth, geometry)
        chunk_zyx, shard_zyx = grid or default_grid(geometry)
        intensity = _write_image(store, image, geometry, name, chunk_zyx, shard_zyx, count_voxels)
        if truth is not None:
            _write_truth(store, truth, geometry, chunk_zyx, shard_zyx)
    return IngestedCapture(name, geometry, image.dtype.name, intensity, class_voxels, unlabelled_voxels)


def labelled_runs(labelled_slices: Sequence[int]) -> list[tuple[int, int]]:
    """Start and stop (excluded) of each unbroken run of slices, ascending; each can become a capture."""
    runs: list[tuple[int, int]] = []
    for z in sorted(set(labelled_slices)):
        if runs and runs[-1][1] == z:
            runs[-1] = (runs[-1][0], z + 1)
        else:
            runs.append((z, z + 1))
    return runs


def _span(slices: tuple[int, int] | None, source: Source) -> range:
    depth = source.shape_zyx[0]
    start, stop = slices or (0, depth)
    if not 0 <= start < stop <= depth:
        raise ConfigError(f"slices {start} to {stop} (excluded) are not in {source.location}, which has {depth}")
    return range(start, stop)


def _geometry(image: ImageView, given_nm: VoxelSize | None, first_slice: int) -> Geometry:
    """Shape, voxel size and place of a capture; its place is that of its slices in the raw volume."""
    size_nm = _voxel_size(image, given_nm)
    return Geometry(image.shape_zyx, size_nm, (first_slice * size_nm[0], 0.0, 0.0))


def _voxel_size(image: ImageView, given_nm: VoxelSize | None) -> VoxelSize:
    stated_nm = image.voxel_size_nm
    if given_nm is None and stated_nm is None:
        raise DataError(f"{image.location}: states no voxel size; set voxel_size_nm (z, y, x)")
    if given_nm is None or stated_nm is None:
        return given_nm or stated_nm or (1.0, 1.0, 1.0)
    pairs = zip(given_nm, stated_nm, strict=True)
    if any(abs(given - stated) > _VOXEL_SIZE_TOLERANCE * given for given, stated in pairs):
        raise DataError(
            f"{image.location}: states voxels of {stated_nm} nm, but voxel_size_nm is {given_nm} (z, y, x); "
            "correct the one that is wrong"
        )
    return given_nm


def _counts(truth: TruthView | None, geometry: Geometry) -> tuple[dict[str, int] | None, int]:
    """Voxels of each class, and of none."""
    if truth is None:
        return None, geometry.block.voxels
    unlabelled, *labelled = (int(count) for count in truth.count())
    return dict(zip(truth.classes.names, labelled, strict=True)), unlabelled


def _write_image(
    store: Store,
    image: ImageView,
    geometry: Geometry,
    name: str,
    chunk_zyx: Zyx,
    shard_zyx: Zyx,
    count_voxels: Callable[[int], object] | None,
) -> Intensity:
    volume = create_image(
        store, geometry=geometry, dtype=image.dtype, name=name, chunk_zyx=chunk_zyx, shard_zyx=shard_zyx
    )
    histogram = IntensityHistogram(image.dtype)
    for block, data in shards(image, volume.shard_zyx):
        histogram.add(data)
        volume.write(block, data)
        if count_voxels:
            count_voxels(block.voxels)
    build_pyramid(volume)
    return histogram.summary()


def _write_truth(store: Store, truth: TruthView, geometry: Geometry, chunk_zyx: Zyx, shard_zyx: Zyx) -> None:
    volume = create_labels(
        store,
        TRUTH,
        geometry=geometry,
        dtype=truth.dtype,
        classes=truth.classes.label_classes,
        chunk_zyx=chunk_zyx,
        shard_zyx=shard_zyx,
    )
    for block, data in shards(truth, volume.shard_zyx):
        volume.write(block, data)
    build_pyramid(volume)
