"""Bring a volume to another voxel size, such as that of the voxels which a model has learnt from."""

from __future__ import annotations

from pathlib import Path

from pipeline.steps.digest import Marker, digest
from pipeline.steps.unlabelled import stated_geometry
from pipeline.telemetry import Reporter
from pipeline.volume.fingerprint import fingerprint
from pipeline.volume.ingest import ingest_capture
from pipeline.volume.omezarr import open_image
from pipeline.volume.resampling import resample as resample_image
from pipeline.volume.resampling import resampled_geometry
from pipeline.volume.stores import Store

ORIGINAL, RESAMPLED = "original", "resampled"


def resample(
    volume: str,
    destination: str,
    *,
    to_nm: tuple[float, float, float],
    voxel_size_nm: tuple[float, float, float] | None = None,
) -> Store:
    """Write a volume at another voxel size as OME-Zarr, unless it is there; returns its place.

    Args:
        volume: location in any readable format; a relative path starts at the working directory.
        destination: URL below which `RESAMPLED`, and `ORIGINAL` for as long as it is read, are kept.
        to_nm: voxel size to bring it to, z, y, x.
        voxel_size_nm: where the file does not state it.

    Raises:
        InputError: the volume cannot be read, or the two sizes are too far apart.
    """
    base = Path.cwd()
    geometry = stated_geometry(volume, base, voxel_size_nm)
    wanted = resampled_geometry(geometry, to_nm)
    store = Store.open(destination, create=True)
    made_from = digest(fingerprint(volume, base), geometry.voxel_size_nm, to_nm)
    marker, original, result = Marker(store, "done.json", made_from), store.child(ORIGINAL), store.child(RESAMPLED)
    with Reporter(store, "resample") as report:
        if marker.done:
            report.say("is done")
            return result
        marker.clear()
        report.say(f"{_shape(geometry.shape_zyx)} voxels become {_shape(wanted.shape_zyx)}")
        ingest_capture(original, name="volume", raw=volume, base=base, voxel_size_nm=geometry.voxel_size_nm)
        resample_image(open_image(original), result, to_nm)
        original.delete_all()
        marker.write()
    return result


def _shape(shape_zyx: tuple[int, int, int]) -> str:
    return " x ".join(map(str, shape_zyx))
