"""How programs lay out volumes in HDF5: Imaris, BigDataViewer, ITK, CREMI; what else counts there beside voxels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import h5py
import numpy as np

from pipeline.volume.geometry import Zyx, ZyxNm, nanometres

_IMARIS = re.compile(r"/?DataSet/ResolutionLevel (\d+)/TimePoint \d+/Channel \d+/Data")
_BDV = re.compile(r"(?:.*/)?t\d+/(s\d+)/(\d+)/cells")
_ITK = re.compile(r"ITKImage/(\d+)/VoxelData")  # beside it lies a matrix of directions


@dataclass(frozen=True)
class Layout:
    """What a program's layout says of a dataset.

    shape_zyx: of the image, where its end is padding. size_nm: z, y, x. is_unsigned: int16 means uint16.
    """

    shape_zyx: Zyx | None = None
    size_nm: ZyxNm | None = None
    is_unsigned: bool = False


def finest(names: Iterable[str]) -> list[str]:
    """Of the datasets of a file those that are no coarser level, no preview and no matrix of another."""
    names = list(names)
    for pattern, group in ((_IMARIS, 1), (_BDV, 2), (_ITK, 1)):
        known = [match for name in names if (match := pattern.fullmatch(name))]
        if known:
            return [match[0] for match in known if int(match[group]) == 0]
    return names


def layout_of(dataset: h5py.Dataset, location: Path, *, follows_references: bool) -> Layout:
    """What is known of a dataset by its name and the attributes around it."""
    name = dataset.name or ""
    if _IMARIS.fullmatch(name):
        return _imaris(dataset)
    if match := _BDV.fullmatch(name):
        # Java has no unsigned type.
        size_nm = _bdv_size_nm(dataset.file, location, match[1], int(match[2])) if follows_references else None
        return Layout(size_nm=size_nm, is_unsigned=dataset.dtype == np.int16)
    if size := _three(dataset.attrs.get("element_size_um")):
        return Layout(size_nm=(size[0] * 1e3, size[1] * 1e3, size[2] * 1e3))
    return Layout(size_nm=_three(dataset.attrs.get("resolution")))


def _three(values: Any) -> ZyxNm | None:
    """Three sizes above zero, in the order of the file; None for anything else."""
    numbers = np.ravel(values if values is not None else ())
    if numbers.size != 3 or numbers.dtype.kind not in "iuf" or not (numbers > 0).all():
        return None
    return float(numbers[0]), float(numbers[1]), float(numbers[2])


def _imaris(dataset: h5py.Dataset) -> Layout:
    """Imaris 5.5 file format: chunks pad the data; ExtMin and ExtMax are the image's corners, 0 being x."""
    channel = dataset.parent.attrs
    sizes = [_text(channel, f"ImageSize{axis}") for axis in "ZYX"]
    image = dataset.file.get("DataSetInfo/Image")
    if not all(size.isdecimal() and int(size) for size in sizes) or not isinstance(image, h5py.Group):
        return Layout()
    z, y, x = (min(int(size), stored) for size, stored in zip(sizes, dataset.shape, strict=True))
    unit = nanometres(_text(image.attrs, "Unit") or "um")
    try:
        ends = [(float(_text(image.attrs, f"ExtMin{n}")), float(_text(image.attrs, f"ExtMax{n}"))) for n in (2, 1, 0)]
    except ValueError:
        return Layout((z, y, x))
    lengths = [(stop - start) * (unit or 0.0) / count for (start, stop), count in zip(ends, (z, y, x), strict=True)]
    if not all(isfinite(length) and length > 0 for length in lengths):
        return Layout((z, y, x))
    return Layout((z, y, x), (lengths[0], lengths[1], lengths[2]))


def _text(attributes: Mapping[str, Any], name: str) -> str:
    """An attribute that is an array of single characters."""
    return b"".join(np.ravel(np.asarray(attributes.get(name, ()), "S"))).decode("latin-1").strip()


def _bdv_size_nm(file: h5py.File, location: Path, setup: str, level: int) -> ZyxNm | None:
    """From the XML beside the file, which has the voxel size (x, y, z) of each setup, times the level's factors."""
    description = location.with_suffix(".xml")
    factors = np.asarray(file.get(f"{setup}/resolutions", np.ones((level + 1, 3))))
    if not description.is_file() or level >= len(factors):
        return None
    try:
        text = description.read_text(encoding="utf-8")
        setups = [] if "<!DOCTYPE" in text else list(ElementTree.fromstring(text).iter("ViewSetup"))
        voxel = next(each for each in setups if int(each.findtext("id", "-1")) == int(setup[1:])).find("voxelSize")
        assert voxel is not None
        unit = nanometres(voxel.findtext("unit", ""))
        sizes = np.array(voxel.findtext("size", "").split(), float) * factors[level]
        x, y, z = sizes.tolist()
    except (OSError, ValueError, StopIteration, AssertionError, ElementTree.ParseError):
        return None
    return None if unit is None else (z * unit, y * unit, x * unit)
