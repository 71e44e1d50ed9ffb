"""Volume files that name other files: a stranger's must not reach the server's own.

HDF5 datasets may keep their voxels in any file (external storage) or borrow them from others (virtual datasets); an
OME-TIFF may name the file in which a plane lies. Links in archives are refused where they are unpacked, and zarr
refuses paths that lead out of a group.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import h5py
import tifffile

from pipeline.errors import DataError
from pipeline.volume.sources import hdf5, tiff
from pipeline.volume.sources.base import Location


def refuse_references(location: str) -> None:
    """Raise DataError when the file at a location keeps voxels elsewhere."""
    place = Location.parse(location, Path("/"))
    if place.path is None:
        return
    if place.suffix in hdf5.SUFFIXES:
        _refuse_foreign_datasets(place.path)
    elif place.suffix in tiff.SUFFIXES:
        _refuse_foreign_planes(place.path)


def _refuse_foreign_datasets(path: Path) -> None:
    with h5py.File(path, "r") as file:
        foreign: list[str] = []

        def look(name: str, node: object) -> None:
            if isinstance(node, h5py.Dataset) and (node.external or node.is_virtual):
                foreign.append(name)

        file.visititems(look)
    if foreign:
        raise DataError(f"{path}: dataset /{foreign[0]} keeps its voxels in other files; export it into one file")


def _refuse_foreign_planes(path: Path) -> None:
    with tifffile.TiffFile(path) as file:
        if not file.is_ome or not file.ome_metadata:
            return
        named = {node.attrib["FileName"] for node in _nodes(file.ome_metadata, path) if "FileName" in node.attrib}
    if named - {path.name}:
        raise DataError(f"{path}: is one part of an OME-TIFF of several files; export the stack into one TIFF file")


def _nodes(xml: str, path: Path) -> list[ElementTree.Element]:
    try:
        return list(ElementTree.fromstring(xml).iter())
    except ElementTree.ParseError as error:
        raise DataError(f"{path}: its OME metadata cannot be read ({error}); export it again") from error
