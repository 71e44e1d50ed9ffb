"""The files that can be made of a result."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Download:
    """A file made of a result. ending: of its name, which begins with the volume's; the rest is for its reader."""

    kind: str
    ending: str
    media_type: str
    label: str
    explanation: str


_ALL = (
    Download(
        "ome-zarr", ".ome.zarr.zip", "application/zip", "OME-Zarr", "Image and classes, for napari, Fiji, Neuroglancer"
    ),
    Download("tiff", "-classes.tif", "image/tiff", "TIFF", "Class numbers of every voxel, for Fiji, Amira, Imaris"),
    Download("csv", "-classes.csv", "text/csv", "Table (CSV)", "Voxels, volume, share and number of pieces by class"),
    Download("meshes-ply", "-meshes-ply.zip", "application/zip", "Meshes (PLY)", "A coloured surface for each class"),
    Download("meshes-stl", "-meshes-stl.zip", "application/zip", "Meshes (STL)", "A surface for each class, to print"),
)
DOWNLOADS = {download.kind: download for download in _ALL}
SCENE = Download("scene", "-scene.html", "text/html", "Scene", "Surfaces to turn around, in one page")
COUNTS = Download("counts", "-counts.json", "application/json", "Counts", "What the table is made of")
