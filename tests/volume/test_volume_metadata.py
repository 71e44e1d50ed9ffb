"""Each field of each header, changed: the volume is read as an independent reader reads it, or refused, or the field is
listed in docs/formats.md as not heeded, and then changes nothing."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import mrcfile
import nibabel
import nrrd as pynrrd
import numpy as np
import pytest
import tensorstore
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mrcfile.dtypes import HEADER_DTYPE
from volume_formats import WRITERS

from pipeline.errors import VemsegError
from pipeline.volume.geometry import ZyxNm, nanometres
from pipeline.volume.sources import STRANGER, TRUSTED, open_source

DATA = np.random.default_rng(0).integers(1, 100, (4, 20, 24), np.int16)
DOCUMENTATION = Path(__file__).parents[2] / "docs/formats.md"

Outcome = tuple[np.ndarray, ZyxNm | None] | None
"""Voxels and voxel size; None where it is refused."""

numbers = st.one_of(
    st.sampled_from([0, 1, 2, 3, 4, -1, 6, 20, 24, 127, 128, 255, 2**15, 2**31 - 1, 0.5, 2.5, -3.0, 1e30]),
    st.sampled_from([float("nan"), float("inf")]),
    st.integers(-(2**31), 2**31 - 1),
)
anything = st.one_of(numbers, st.sampled_from([None, "", "x", "nanometer", "um", [], {}, [1, 2, 3], True]))


@dataclass(frozen=True)
class Header:
    """fields: of the header. change: gives a field of a file another value. heeded: fields that the oracle heeds, too.

    oracle: what another reader, or the plain words of the specification, makes of the file.
    """

    writer: str
    fields: Callable[[Path], list[str]]
    change: Callable[[Path, str, Any], None]
    heeded: set[str]
    oracle: Callable[[Path], Outcome]


def outcome(path: Path) -> Outcome:
    results: list[Outcome] = []
    for policy in (TRUSTED, STRANGER):
        try:
            with open_source(str(path), path.parent, policy) as source:
                if source.size_bytes > 2**24:  # more than there is, to be compared with nothing
                    return None
                results.append((source.read(0, source.shape_zyx[0]), source.voxel_size_nm))
        except VemsegError:
            results.append(None)
    if results[0] and results[1]:
        assert_same(results[0], results[1])
    return results[0]


def assert_same(found: Outcome, right: Outcome) -> None:
    assert found is not None
    assert right is not None, "it is read, although no other reader would"
    np.testing.assert_array_equal(found[0], right[0])
    assert found[1] == (right[1] and pytest.approx(right[1], rel=1e-4))


def not_heeded(name: str) -> set[str]:
    """The fields of a format in the last table of the documentation."""
    (row,) = re.findall(rf"^\| {re.escape(name)} \| (.*) \|$", DOCUMENTATION.read_text(encoding="utf-8"), re.MULTILINE)
    return set(re.findall("`([^`]+)`", row))


def believable(size_nm: ZyxNm) -> ZyxNm | None:
    z, y, x = size_nm
    return size_nm if all(0 < size < 1e5 for size in size_nm) and z >= 0.5 * min(y, x) else None


# --- MRC and NIfTI: a header of fixed size


def mrc_change(path: Path, field: str, value: Any) -> None:
    content = bytearray(path.read_bytes())
    header = np.frombuffer(bytes(content[:1024]), HEADER_DTYPE).copy()
    _assign(header, field, value)
    content[:1024] = header.tobytes()
    path.write_bytes(content)


def _assign(header: np.ndarray, field: str, value: Any) -> None:
    target = header[field]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if target.dtype.names:
            header[field] = tuple([value] * len(target.dtype.names))
        elif target.dtype.kind in "SV":
            size = target.dtype.itemsize * target.size
            raw = np.full(size, int(value) % 256 if np.isfinite(value) else 1, "u1").tobytes()
            header[field] = np.frombuffer(raw, target.dtype).reshape(target.shape)
        elif target.dtype.kind in "iu":
            header[field] = np.array(int(value) if abs(value) < 2**62 else 7).astype(target.dtype)
        else:
            header[field] = value


def mrc_oracle(path: Path) -> Outcome:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = mrcfile.open(path, permissive=True)
    with file:
        if file.data is None or file.data.dtype.kind == "c":
            return None
        data, header = np.atleast_3d(file.data), file.header
        if data.shape != (header.nz, header.ny, header.nx):
            data = data.reshape(int(header.nz), int(header.ny), int(header.nx))
        order = [int(header.maps), int(header.mapr), int(header.mapc)]
        if any(order):
            data = data.transpose([order.index(axis) for axis in (3, 2, 1)])
        if data.dtype == np.int8 and header.dmax > 127 and header.dmin >= 0:
            data = data.view(np.uint8)
        counts = [int(header[name]) for name in ("mz", "my", "mx")]
        cell = [float(header.cella[axis]) for axis in "zyx"]
    is_stack = any(count == 1 < sides for count, sides in zip(counts, data.shape, strict=True))
    if is_stack or (header.ispg == 0 and counts[0] != data.shape[0]) or 0 in counts:
        return data, None
    sizes = [length / count for length, count in zip(cell, counts, strict=True)]
    if any(size <= 1 for size in sizes):
        return data, None
    return data, believable((sizes[0] / 10, sizes[1] / 10, sizes[2] / 10))


def nifti_change(path: Path, field: str, value: Any) -> None:
    content = bytearray(path.read_bytes())
    header = np.frombuffer(bytes(content[:348]), nibabel.Nifti1Header.template_dtype).copy()
    _assign(header, field, value)
    content[:348] = header.tobytes()
    path.write_bytes(content)


def nifti_oracle(path: Path) -> Outcome:
    """nibabel's voxels; its axes and sizes where nothing is turned."""
    image = nibabel.load(path)
    data = np.asarray(image.dataobj).T
    header = image.header
    while data.ndim > 3 and data.shape[0] == 1:
        data = data[0]
    if data.ndim == 2:
        data = data[None]
    if len(header.get_data_shape()) < 3:
        return data, None
    unit = {"micron": "um", "meter": "m", "mm": "mm"}.get(header.get_xyzt_units()[0])
    if header["sform_code"] or header["qform_code"]:
        order = nibabel.orientations.io_orientation(image.affine)[:3, 0]
        if len(data.shape) == 3 and not np.isnan(order).any():
            fastest_first = [int(axis) for axis in order]
            data = data.transpose([2 - fastest_first.index(axis) for axis in (2, 1, 0)])
            zooms = [float(header.get_zooms()[fastest_first.index(axis)]) for axis in (2, 1, 0)]
    else:
        zooms = [float(size) for size in header.get_zooms()[:3][::-1]]
    length = nanometres(unit) if unit else None
    stated = np.frombuffer(path.read_bytes()[:348], nibabel.Nifti1Header.template_dtype)["pixdim"][0, 1:4]
    if length is None or not stated.all():
        return data, None
    return data, believable((zooms[0] * length, zooms[1] * length, zooms[2] * length))


# --- NRRD: lines of text


def nrrd_fields(path: Path) -> list[str]:
    return [line.partition(":")[0] for line in _nrrd_lines(path)[0] if ":" in line and not line.startswith("#")]


def _nrrd_lines(path: Path) -> tuple[list[str], bytes]:
    head, _, voxels = path.read_bytes().partition(b"\n\n")
    return head.decode().split("\n"), voxels


def nrrd_change(path: Path, field: str, value: Any) -> None:
    lines, voxels = _nrrd_lines(path)
    text = {"space directions": f"({value},0,0) (0,5,0) (0,0,30)", "sizes": f"{value} 20 4"}.get(field, str(value))
    lines = [f"{field}: {text}" if line.startswith(f"{field}:") else line for line in lines]
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + voxels)


def nrrd_oracle(path: Path) -> Outcome:
    data, header = pynrrd.read(str(path), index_order="C")
    lengths = [nanometres(str(unit)) for unit in header.get("space units", ())]
    if len(lengths) < 3 or None in lengths:
        return data, None
    z, y, x = (float(np.linalg.norm(header["space directions"][axis])) * lengths[axis] for axis in (2, 1, 0))
    return data, believable((z, y, x))


# --- JSON: N5, precomputed, OME-Zarr; a field is a path of keys, and may also be left out


def leaves(content: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield from leaves(value, (*path, key))


def json_fields(file: str) -> Callable[[Path], list[str]]:
    return lambda path: [json.dumps(keys) for keys in leaves(json.loads((path / file).read_text()))]


def json_change(file: str) -> Callable[[Path, str, Any], None]:
    def change(path: Path, field: str, value: Any) -> None:
        content = json.loads((path / file).read_text())
        *above, last = json.loads(field)
        place = content
        for key in above:
            place = place[key]
        if value is None:
            del place[last]
        else:
            place[last] = value
        (path / file).write_text(json.dumps(content))

    return change


def hdf5_fields(path: Path) -> list[str]:
    found = []
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, node: found.extend(f"{name}@{key}" for key in node.attrs))
    return found


def hdf5_change(path: Path, field: str, value: Any) -> None:
    name, _, key = field.partition("@")
    with h5py.File(path, "r+") as file:
        file[name].attrs[key] = np.array(list(str(value)) or [""], "S1")


def imaris_oracle(path: Path) -> Outcome:
    """The words of Imaris' file format: sizes and corners are texts, of which each character is an element."""
    with h5py.File(path, "r") as file:
        channel, image = file["DataSet/ResolutionLevel 0/TimePoint 0/Channel 0"], file["DataSetInfo/Image"]

        def text(node: h5py.Group, key: str) -> str:
            return b"".join(np.ravel(node.attrs[key])).decode()

        try:
            shape = [int(text(channel, f"ImageSize{axis}")) for axis in "ZYX"]
        except ValueError:
            shape = [0, 0, 0]
        stored = channel["Data"].shape
        if min(shape) < 1:
            return channel["Data"][()], None
        z, y, x = (min(length, room) for length, room in zip(shape, stored, strict=True))
        data = channel["Data"][:z, :y, :x]
        length = nanometres(text(image, "Unit") or "um")
        try:
            corners = [(float(text(image, f"ExtMin{axis}")), float(text(image, f"ExtMax{axis}"))) for axis in (2, 1, 0)]
        except ValueError:
            return data, None
        if length is None:
            return data, None
        sizes = [(stop - start) * length / count for (start, stop), count in zip(corners, data.shape, strict=True)]
        return data, believable((sizes[0], sizes[1], sizes[2]))


def n5_oracle(path: Path) -> Outcome:
    spec = {"driver": "n5", "kvstore": {"driver": "file", "path": f"{path}/"}}
    data = tensorstore.open(spec, read=True, open=True).result().read().result().T
    pixel = json.loads((path / "attributes.json").read_text()).get("pixelResolution", {})
    try:
        x, y, z = (float(size) * nanometres(pixel["unit"]) for size in pixel["dimensions"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return data, None
    return data, believable((z, y, x))


def precomputed_oracle(path: Path) -> Outcome:
    spec = {"driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": f"{path}/"}}
    opened = tensorstore.open(spec, read=True, open=True).result()
    x, y, z = json.loads((path / "info").read_text())["scales"][0]["resolution"]
    return opened.read().result()[..., 0].T, believable((z, y, x))


def ome_zarr_oracle(path: Path) -> Outcome:
    """The words of OME-Zarr 0.5: the first level's scale, then the one of the whole, along each axis by its name."""
    image = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]
    level = image["datasets"][0]
    names = [axis["name"].lower() for axis in image["axes"]]
    data = zarr.open_array(path / level["path"], mode="r")[...]
    assert len(names) == len(set(names)) == data.ndim
    assert all(length == 1 for name, length in zip(names, data.shape, strict=True) if name not in "zyx")
    data = data.transpose([*(n for n, name in enumerate(names) if name not in "zyx"), *map(names.index, "zyx")])
    try:
        steps = level.get("coordinateTransformations", []) + image.get("coordinateTransformations", [])
        (first, *more) = (step["scale"] for step in steps if step["type"] == "scale")
        sizes = []
        for axis in map(names.index, "zyx"):
            assert image["axes"][axis]["type"] == "space"
            length = nanometres(image["axes"][axis]["unit"])
            sizes.append(np.prod([float(scale[axis]) for scale in (first, *more)]) * length)
    except (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError):
        return data[0, 0], None
    return data[0, 0], believable((sizes[0], sizes[1], sizes[2]))


HEADERS = {
    "MRC": Header(
        "mrc",
        lambda path: list(HEADER_DTYPE.names),
        mrc_change,
        {
            *("nx", "ny", "nz", "mode", "mx", "my", "mz", "cella", "mapc", "mapr", "maps", "dmin", "dmax"),
            "ispg",
            "nsymbt",
        }
        | {"machst"},
        mrc_oracle,
    ),
    "NIfTI": Header(
        "nifti",
        lambda path: list(nibabel.Nifti1Header.template_dtype.names),
        nifti_change,
        {
            *(
                "dim",
                "datatype",
                "pixdim",
                "vox_offset",
                "scl_slope",
                "scl_inter",
                "xyzt_units",
                "qform_code",
                "sform_code",
            )
        }
        | {*("srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c", "quatern_d", "magic")},
        nifti_oracle,
    ),
    "NRRD": Header(
        "nrrd",
        nrrd_fields,
        nrrd_change,
        {"type", "dimension", "sizes", "space directions", "space units", "encoding", "endian"},
        nrrd_oracle,
    ),
    "N5": Header("n5", json_fields("attributes.json"), json_change("attributes.json"), set(), n5_oracle),
    "precomputed": Header("precomputed", json_fields("info"), json_change("info"), set(), precomputed_oracle),
    "OME-Zarr": Header("ome-zarr 0.5", json_fields("zarr.json"), json_change("zarr.json"), set(), ome_zarr_oracle),
    "Imaris": Header("imaris", hdf5_fields, hdf5_change, set(), imaris_oracle),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_field_is_read_as_others_read_it_or_refused_or_listed(name: str, tmp_path: Path) -> None:
    header = HEADERS[name]
    location = tmp_path / WRITERS[header.writer](tmp_path, DATA)
    original = outcome(location)
    contents = {file: file.read_bytes() for file in (location, *location.rglob("*")) if file.is_file()}
    fields, listed = header.fields(location), not_heeded(name)
    if header.heeded:
        assert set(fields) == header.heeded | listed
        assert not header.heeded & listed
    assert_same(original, header.oracle(location))
    is_text = location.is_dir() or name == "Imaris"

    @settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(fields), anything if is_text else numbers)
    def check(field: str, value: Any) -> None:
        for file, content in contents.items():
            file.write_bytes(content)
        header.change(location, field, value)
        found = outcome(location)
        if found is not None:
            names = {name for name in json.loads(field) if isinstance(name, str)} if location.is_dir() else {field}
            assert_same(found, original if names & listed else header.oracle(location))

    check()
