"""Ingest: a labelled capture in any readable format becomes an OME-Zarr image with ``labels/truth`` below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigError, DataError
from pipeline.formats import sides
from pipeline.volume.geometry import Geometry, Zyx, ZyxNm, default_grid
from pipeline.volume.intensity import Intensity, IntensityHistogram
from pipeline.volume.labels import ClassMap
from pipeline.volume.ngff import omero_grey
from pipeline.volume.omezarr import Volume, create_image, create_labels
from pipeline.volume.pyramid import build_pyramid
from pipeline.volume.sources import STRANGER, Policy, Source, open_source
from pipeline.volume.stores import Store
from pipeline.volume.streaming import ImageView, shards
from pipeline.volume.truth import FILL, TruthView, open_truth

__all__ = ["FILL", "TRUTH", "IngestedCapture", "ingest_capture", "labelled_runs"]

TRUTH = "truth"

# Two statements of a voxel size agree up to this share: pixel sizes are rounded when they are written down.
_VOXEL_SIZE_TOLERANCE = 0.01


@dataclass(frozen=True)
class IngestedCapture:
    """What was found while a capture was written.

    class_voxels: labelled voxels of each class by name, in order; None where no labels were given.
    unlabelled_voxels: those nobody labelled. note: what the user should know of it, or empty.
    """

    name: str
    geometry: Geometry
    dtype: str
    intensity: Intensity
    class_voxels: dict[str, int] | None
    unlabelled_voxels: int
    note: str = ""


def ingest_capture(
    store: Store,
    *,
    name: str,
    raw: str,
    base: Path,
    labels: str | Mapping[str, str] | None = None,
    classes: ClassMap | None = None,
    voxel_size_nm: ZyxNm | None = None,
    labelled_slices: Sequence[int] | None = None,
    slices: tuple[int, int] | None = None,
    grid: tuple[Zyx, Zyx] | None = None,
    count_voxels: Callable[[int], object] | None = None,
    policy: Policy = STRANGER,
) -> IngestedCapture:
    """Write a capture to the store as an OME-Zarr image and, with labels, its ``labels/truth``.

    raw, labels: locations as `open_source` takes them, relative to `base`; labels are one volume of ids, or a
    location of a mask for each class name (`FILL` for one of them). They need `classes`.
    voxel_size_nm: (z, y, x), whatever the raw file states; None takes it from there.
    labelled_slices: slices of the raw volume that are labelled, when not all are. The label files then hold all
    slices, or these only, in ascending order.
    slices: start and stop (excluded) of the slices that make the capture; None takes all.
    grid: sides of chunk and shard (z, y, x); None takes `default_grid`.
    count_voxels: told the voxels of each shard of the image once it is written.
    policy: whether the files may name others, and how much they may hold.

    Input is checked, labels to the last voxel, before anything is written; NaN in a float image is found on the
    way. The same input gives the same bytes, so an interrupted ingest is simply run again.
    Raises DataError naming file and cure for input that cannot be used, ConfigError for contradicting arguments.
    """
    with ExitStack() as opened:
        source = opened.enter_context(open_source(raw, base, policy))
        span = _span(slices, source)
        image = ImageView(source, span.start, span.stop)
        geometry = _geometry(image, voxel_size_nm)
        truth = None
        if labels is not None:
            if classes is None:
                raise ConfigError("labels are given without classes; list the classes and their ids")
            truth = open_truth(
                opened, labels, base, classes, source, labelled_slices=labelled_slices, span=span, policy=policy
            )
        class_voxels, unlabelled_voxels = _counts(truth, geometry)
        chunk_zyx, shard_zyx = grid or default_grid(geometry)
        intensity = _write_image(store, image, geometry, name, chunk_zyx, shard_zyx, count_voxels)
        if truth is not None:
            _write_truth(store, truth, geometry, chunk_zyx, shard_zyx)
        note = _overruled(raw, voxel_size_nm, source.voxel_size_nm)
    return IngestedCapture(name, geometry, image.dtype.name, intensity, class_voxels, unlabelled_voxels, note)


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


def _geometry(image: ImageView, given_nm: ZyxNm | None) -> Geometry:
    """Shape, voxel size and place of a capture; its place is that of its voxels in the raw volume."""
    size_nm = voxel_size_of(image, given_nm)
    z, y, x = (start * edge for start, edge in zip(image.origin_zyx, size_nm, strict=True))
    return Geometry(image.shape_zyx, size_nm, (z, y, x))


def voxel_size_of(image: ImageView, given_nm: ZyxNm | None) -> ZyxNm:
    """Voxel size (z, y, x) of an image. Raises DataError where nothing states it, or file and caller disagree."""
    stated_nm = image.voxel_size_nm
    if given_nm is None and stated_nm is None:
        note = image.voxel_size_note
        raise DataError(f"{image.location}: states no voxel size; set voxel_size_nm (z, y, x){note and f'. {note}'}")
    return given_nm or stated_nm or (1.0, 1.0, 1.0)


def _overruled(location: str, given_nm: ZyxNm | None, stated_nm: ZyxNm | None) -> str:
    """A note for the run where a voxel size that was given is not that of the file; else empty."""
    if given_nm is None or stated_nm is None:
        return ""
    pairs = zip(given_nm, stated_nm, strict=True)
    if all(abs(given - stated) <= _VOXEL_SIZE_TOLERANCE * given for given, stated in pairs):
        return ""
    given, stated = (sides(size_nm, by="x") for size_nm in (given_nm, stated_nm))
    return f"{location} states voxels of {stated} nm (z, y, x); the given {given} nm are used"


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
    intensity = histogram.summary()
    limits, shown = (intensity.minimum, intensity.maximum), (intensity.low, intensity.high)
    build_pyramid(Volume(store, volume.ome | {"omero": omero_grey(name, limits, shown)}))
    return intensity


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
