"""NRRD and NIfTI: voxels of which x counts fastest, behind a header that places them in space.

Which dimension is z, y or x is taken from the directions that the header gives; their signs are not heeded, since
programs do not agree on them, so that voxels keep their order.
"""

from __future__ import annotations

import bz2
import gzip
import re
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from pipeline.errors import DataError
from pipeline.volume.geometry import Block, nanometres
from pipeline.volume.objects import storage_errors
from pipeline.volume.sources.base import (
    Location,
    Opening,
    RunFormat,
    decoding,
    listed,
    shape_of,
    volume_dimensions,
)
from pipeline.volume.sources.policy import DEFLATE_RATIO, Limits, refuse_large, refuse_lies
from pipeline.volume.sources.registry import register

_COPY_BYTES = 2**20
_NRRD_TYPES = {
    **{"char": "i1", "int8": "i1", "short": "i2", "int16": "i2", "int": "i4", "int32": "i4"},
    **{"longlong": "i8", "long long": "i8", "int64": "i8", "float": "f4", "double": "f8"},
}
# A direction that leaves its axis by more is turned.
_TURNED = 1e-3
# Of bzip2, whose densest blocks are of one value.
_BZIP2_RATIO = 1e5
_MOST_NRRD_HEADER_BYTES = 2**20


class _Placed(RunFormat):
    """Dimensions in the order of the file (the fastest last), named by the directions of their axes."""

    extra = "formats"
    _folder: TemporaryDirectory[str] | None = None

    def _set_place(
        self, sizes: Sequence[int], names: Sequence[str], units: Sequence[tuple[float, str]]
    ) -> tuple[int, ...]:
        """Shape and voxel size of sizes, names and (size, unit) of axes, the fastest first; gives the stored shape."""
        shape = tuple(int(size) for size in reversed(sizes))
        self._order = volume_dimensions(shape, self.location, list(reversed(names)))
        self.axes_found = listed(list(reversed(names)))
        self.shape_zyx = shape_of(shape, self._order)
        lengths = [(size, nanometres(unit)) for size, unit in reversed(units)]
        known = [size * length for size, length in lengths if length is not None]
        if len(known) == len(shape) and None not in self._order:
            z, y, x = (known[dimension or 0] for dimension in self._order)
            self.voxel_size_nm = z, y, x
        return shape

    def _unpacked(self, stored: Any, expected: int, packed: int, ratio: float, limits: Limits) -> Path:
        """What a compressed stream holds, in a temporary file: at most as many bytes as the header claims."""
        refuse_lies(self.location, expected, packed, ratio)
        refuse_large(self.location, expected, 0, limits)
        self._folder = TemporaryDirectory(prefix="vemseg-unpacked-")
        path, left = Path(self._folder.name) / "voxels", expected
        with storage_errors(str(path)), path.open("xb") as sink:
            while left and (part := _read(stored, min(left, _COPY_BYTES), self.location)):
                sink.write(part)
                left -= len(part)
        return path

    def close(self) -> None:
        if self._folder:
            self._folder.cleanup()


def _read(stored: Any, size: int, where: str) -> bytes:
    try:
        return bytes(stored.read(size))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{where}: truncated or damaged ({error}); copy or export it again") from error


def _axis_names(directions: np.ndarray, where: str) -> list[str]:
    """x, y or z for each direction (axis, space) of an axis in space. Raises DataError where an axis is turned."""
    lengths = np.linalg.norm(directions, axis=1)
    along = np.abs(directions) / np.where(lengths > 0, lengths, 1)[:, None]
    main = along.argmax(axis=1)
    if not np.isfinite(along).all() or (np.sort(along, axis=1)[:, :-1] > _TURNED).any():
        raise DataError(f"{where}: its axes are turned in space; resample it along its axes, or leave directions out")
    if len(set(main.tolist())) < len(main):
        raise DataError(f"{where}: two of its axes have one direction; export it again")
    return ["xyz"[int(axis)] for axis in main]


@register
class NrrdSource(_Placed):
    """An NRRD file, raw or compressed, with its voxels inside or (.nhdr) in one file beside it."""

    name = "NRRD volume"
    suffixes = (".nrrd", ".nhdr")

    def __init__(self, location: Location, opening: Opening) -> None:
        assert location.path is not None
        self.location = location.text
        with ExitStack() as undo, decoding(self.location):
            undo.callback(self.close)
            header, offset = _nrrd_header(location.path)
            path = location.path
            if beside := _beside(path, header, self.location):
                path, offset = beside, 0
            dtype = _nrrd_dtype(header, self.location)
            names, units = _nrrd_axes(header, self.location)
            shape = self._set_place(header["sizes"].tolist(), names, units)
            encoding = str(header.get("encoding", "")).lower()
            skip = int(header.get("byte skip", header.get("byteskip", 0)))
            if int(header.get("line skip", header.get("lineskip", 0))) or (skip and encoding != "raw"):
                raise DataError(f"{self.location}: skips lines, or bytes of packed voxels; save it without")
            expected, size = prod(shape) * dtype.itemsize, path.stat().st_size
            if encoding == "raw":
                offset = size - expected if skip == -1 else offset + skip
            elif encoding in ("gzip", "gz", "bzip2", "bz2"):
                with path.open("rb") as file:
                    file.seek(offset)
                    is_gzip = encoding.startswith("g")
                    stored = gzip.GzipFile(fileobj=file) if is_gzip else bz2.BZ2File(file)
                    ratio = DEFLATE_RATIO if is_gzip else _BZIP2_RATIO
                    path = self._unpacked(stored, expected + 1, size, ratio, opening.policy.limits)
                offset, size = 0, path.stat().st_size
            else:
                raise DataError(f"{self.location}: its encoding is {encoding or 'missing'}; save it as raw or gzip")
            if size > max(0, offset) + expected:
                raise DataError(f"{self.location}: holds more voxels than its header says; export it again")
            self._set_run(path, dtype, max(0, offset), shape, self._order)
            undo.pop_all()

    @classmethod
    def refuse_references(cls, location: Location) -> None:
        """A detached header names the file in which the voxels lie."""
        assert location.path is not None
        with decoding(location.text):
            header, _ = _nrrd_header(location.path)
            if "data file" in header or "datafile" in header:
                raise DataError(f"{location.text}: its voxels lie in another file; save it as one .nrrd file")

    @classmethod
    def voxels_beside(cls, location: Location) -> set[Path]:
        assert location.path is not None
        with decoding(location.text):
            beside = _beside(location.path, _nrrd_header(location.path)[0], location.text)
        return {beside} if beside else set()


def _nrrd_header(path: Path) -> tuple[dict[str, Any], int]:
    """The fields, and where the voxels begin."""
    import nrrd  # an optional library

    with path.open("rb") as file:
        head = file.read(_MOST_NRRD_HEADER_BYTES)
        end = min((at + len(mark) for mark in (b"\n\n", b"\r\n\r\n") if (at := head.find(mark)) >= 0), default=None)
        if not head.startswith(b"NRRD") or (end is None and path.suffix.lower() != ".nhdr"):
            raise DataError(f"{path}: has no NRRD header; copy or export it again")
        lines = head[:end].decode("utf-8").splitlines()
        header = dict(nrrd.read_header(iter(line for line in lines if line)))
    if "type" not in header or "sizes" not in header or len(header["sizes"]) != header.get("dimension"):
        raise DataError(f"{path}: its NRRD header states no type, or not the size of each dimension; export it again")
    return header, end or 0


def _beside(file: Path, header: dict[str, Any], where: str) -> Path | None:
    """The file that a detached header names."""
    named = str(header.get("data file") or header.get("datafile") or "")
    if not named:
        return None
    path = file.parent / named
    if named.upper().startswith("LIST") or "%" in named:
        raise DataError(f"{where}: its voxels lie in several files; save it as one .nrrd file")
    if not path.is_file():
        raise DataError(f"{where}: its voxels lie in {named}, which is missing; copy it beside")
    return path


def _nrrd_dtype(header: dict[str, Any], where: str) -> np.dtype[Any]:
    # As "unsigned short int", "ushort" or "uint16_t".
    name = re.sub(r"^signed |(?<=[gt]) int$|_t$", "", str(header["type"]))
    kind = _NRRD_TYPES.get(re.sub(r"^(unsigned |u(?!nsigned))", "", name))
    if kind is None:
        raise DataError(f"{where}: voxels of NRRD type {header['type']}; save them as integers or floats")
    dtype = np.dtype(kind if kind[0] == "f" or not name.startswith("u") else f"u{kind[1]}")
    if dtype.itemsize > 1 and header.get("endian") not in ("little", "big"):
        raise DataError(f"{where}: does not say in which order bytes are (endian); export it again")
    return dtype.newbyteorder("<" if header.get("endian") == "little" else ">")


def _nrrd_axes(header: dict[str, Any], where: str) -> tuple[list[str], list[tuple[float, str]]]:
    """Name, size and unit of each axis: of ``space directions``, else of ``spacings``; the fastest is x."""
    count = len(header["sizes"])
    directions = header.get("space directions")
    if directions is None:
        sizes = header.get("spacings", np.full(count, np.nan))
        units = header.get("units") or [""] * count
        # Without a space the order is the only statement; a first axis of samples is no axis of space.
        spatial = [axis for axis, kind in enumerate(header.get("kinds") or ["space"] * count) if _is_space(kind)]
        names = [f"axis{axis}" for axis in range(count)]
        for name, axis in zip("xyz", spatial, strict=False):
            names[axis] = name
        if len(sizes) != count or len(units) != count or len(spatial) > 3:
            raise DataError(
                f"{where}: its NRRD header counts sizes, units and kinds of axes differently; export it again"
            )
        return names, [(float(size), str(unit)) for size, unit in zip(sizes, units, strict=True)]
    rows = [np.full(1, np.nan) if row is None else np.asarray(row, float).ravel() for row in directions]
    spatial = [axis for axis, row in enumerate(rows) if np.isfinite(row).all()]
    if len(rows) != count or len(spatial) < 2 or any(len(rows[axis]) != 3 for axis in spatial):
        raise DataError(f"{where}: its space directions are not those of three axes; export it again")
    names, sized = [f"axis{axis}" for axis in range(count)], [(np.nan, "nm")] * count
    for axis, name in zip(spatial, _axis_names(np.array([rows[axis] for axis in spatial]), where), strict=True):
        units = header.get("space units") or [""] * 3
        names[axis], sized[axis] = name, (float(np.linalg.norm(rows[axis])), str(units["xyz".index(name)]))
    return names, sized


def _is_space(kind: object) -> bool:
    return str(kind).lower() in ("domain", "space", "none", "???")


@register
class NiftiSource(_Placed):
    """A NIfTI-1 or -2 image in one file, plain or gzipped; where its header scales values, they are scaled."""

    name = "NIfTI image"
    suffixes = (".nii", ".nii.gz")

    def __init__(self, location: Location, opening: Opening) -> None:
        assert location.path is not None
        path = location.path
        self.location = location.text
        with ExitStack() as undo, decoding(self.location):
            undo.callback(self.close)
            is_packed = path.name.lower().endswith(".gz")
            with gzip.open(path, "rb") if is_packed else path.open("rb") as file:
                header = _nifti_header(file, self.location)
            dtype, offset = header.get_data_dtype(), int(header.get_data_offset())
            if dtype.kind not in "biuf":
                raise DataError(f"{self.location}: voxels of type {dtype}; save them as integers or floats")
            names, units = _nifti_axes(header, self.location)
            shape = self._set_place(header.get_data_shape(), names, units)
            expected = offset + prod(shape) * dtype.itemsize
            if is_packed:
                with gzip.open(path, "rb") as file:
                    path = self._unpacked(file, expected, path.stat().st_size, DEFLATE_RATIO, opening.policy.limits)
            self._set_run(path, dtype, offset, shape, self._order)
            slope, intercept = header.get_slope_inter()
            self._scaling = None if slope in (None, 1) and not intercept else (slope, intercept or 0.0)
            if self._scaling:
                self.dtype = np.dtype("float32" if dtype.itemsize < 4 else "float64")
            undo.pop_all()

    @classmethod
    def refuse_references(cls, location: Location) -> None:
        """One file holds all; pairs of .hdr and .img are not read."""

    def read_block(self, block: Block) -> np.ndarray:
        if self._scaling is None:
            return super().read_block(block)
        slope, intercept = self._scaling
        scaled, self.dtype = self.dtype, self._stored.newbyteorder("=")
        try:
            data = super().read_block(block)
        finally:
            self.dtype = scaled
        return np.asarray(data.astype(np.float64) * slope + intercept, scaled)


def _nifti_header(file: Any, where: str) -> Any:
    from nibabel.nifti1 import Nifti1Header  # an optional library
    from nibabel.nifti2 import Nifti2Header
    from nibabel.spatialimages import HeaderDataError

    head = file.read(Nifti2Header.template_dtype.itemsize)
    for kind, magic, at in ((Nifti1Header, b"n+1", 344), (Nifti2Header, b"n+2", 4)):
        if head[at : at + 3] == magic:
            binary = head[: kind.template_dtype.itemsize]
            try:
                header = kind(binary)
            except HeaderDataError as error:
                raise DataError(f"{where}: its NIfTI header is damaged ({error}); export it again") from error
            header.states_size = bool(kind(binary, check=False)["pixdim"][1:4].all())  # nibabel makes 1 of 0
            if min(header.get_data_shape(), default=0) < 1:
                raise DataError(f"{where}: its NIfTI header states no size; export it again")
            return header
    raise DataError(f"{where}: has no NIfTI header of one file; save a pair of .hdr and .img as .nii")


def _nifti_axes(header: Any, where: str) -> tuple[list[str], list[tuple[float, str]]]:
    """Name, size and unit of each axis: directions from sform or qform where one is set, sizes from pixdim."""
    shape = header.get_data_shape()
    names = [*"xyz"[: len(shape)], *(f"axis{n}" for n in range(3, len(shape)))]
    if int(header["sform_code"]) or int(header["qform_code"]):
        directions = np.asarray(header.get_best_affine(), float)[:3, :3].T
        names[: len(shape[:3])] = _axis_names(directions, where)[: len(shape[:3])]
    unit = {"micron": "um", "meter": "m"}.get(header.get_xyzt_units()[0], header.get_xyzt_units()[0])
    sizes = [float(size) for size in header.get_zooms()]
    return names, [(size, unit if axis < 3 and header.states_size else "") for axis, size in enumerate(sizes)]
