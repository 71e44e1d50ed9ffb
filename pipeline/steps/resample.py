"""Bring a volume to another voxel size, such as that of the voxels which a model has learnt from."""

from __future__ import annotations

from pathlib import Path

from pipeline.formats import sides
from pipeline.run.events import Reporter
from pipeline.run.inputs import Inputs
from pipeline.run.intake import stated_geometry
from pipeline.run.provenance import resampled
from pipeline.volume.geometry import ZyxNm
from pipeline.volume.ingest import ingest_capture
from pipeline.volume.omezarr import open_image
from pipeline.volume.resampling import resample as resample_image
from pipeline.volume.resampling import resampled_geometry
from pipeline.volume.sources import TRUSTED, Policy
from pipeline.volume.stores import Store

ORIGINAL, RESAMPLED = "original", "resampled"


def resample(
    volume: str,
    destination: str,
    *,
    to_nm: ZyxNm,
    voxel_size_nm: ZyxNm | None = None,
    policy: Policy = TRUSTED,
) -> Store:
    """Write a volume at another voxel size as OME-Zarr, unless it is there; returns its place.

    Args:
        volume: location in any readable format; a relative path starts at the working directory.
        destination: URL below which `RESAMPLED`, and `ORIGINAL` for as long as it is read, are kept.
        to_nm: voxel size to bring it to, z, y, x.
        voxel_size_nm: where the file does not state it.
        policy: whether the volume's files may name others, and how much they may hold.

    Raises:
        InputError: the volume cannot be read, or the two sizes are too far apart.
    """
    base = Path.cwd()
    geometry = stated_geometry(volume, base, voxel_size_nm, policy)
    wanted = resampled_geometry(geometry, to_nm)
    store = Store.open(destination, create=True)
    inputs = Inputs(destination)
    marker = resampled(store, inputs.content(volume, base, policy), geometry.voxel_size_nm, to_nm)
    inputs.note(store)
    original, result = store.child(ORIGINAL), store.child(RESAMPLED)
    with Reporter(store, "resample") as report:
        if marker.intact:
            report.say("is done")
            return result
        report.say(f"{sides(geometry.shape_zyx, by='x')} voxels become {sides(wanted.shape_zyx, by='x')}")
        size_nm = geometry.voxel_size_nm
        with marker.making():
            ingest_capture(original, name="volume", raw=volume, base=base, voxel_size_nm=size_nm, policy=policy)
            resample_image(open_image(original), result, to_nm)
            original.delete_all()
    return result
