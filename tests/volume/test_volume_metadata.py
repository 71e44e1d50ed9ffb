"""Each field of each header, changed: the volume is read as an independent reader reads it, or refused, or the field is
listed in docs/formats.md as not heeded, and then changes nothing."""

from __future__ import annotations

import ast
import json
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import mrcfile
import nibabel
import nrrd as pynrrd
import numpy as np
import pytest
import tensorstore
import tifffile
import zarr
from door import wkw
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mrcfile.dtypes import HEADER_DTYPE
from PIL import Image
from volume_formats import WRITERS, slices

from pipeline.errors import VemsegError
from pipeline.volume.geometry import ZyxNm, nanometres
from pipeline.volume.sources import STRANGER, TRUSTED, open_source

DATA = np.random.default_rng(0).integers(1, 100, (4, 20, 24), np.int16)
WKW_FIRST_ZYX = (3, 9, 21)
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

    oracle: what another reader, or the plain words of the specification, makes of the file. values: that fields of this
    header may have, beside those that no header should.
    """

    writer: str
    fields: Callable[[Path], list[str]]
    change: Callable[[Path, str, Any], None]
    heeded: set[str]
    oracle: Callable[[Path], Outcome]
    values: tuple[Any, ...] = ()
    dtype: str = "i2"


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
    np.testing.assert_allclose(found[0], right[0], rtol=2e-7 if found[0].dtype.kind == "f" else 0)
    assert found[1] == (right[1] and pytest.approx(right[1], rel=1e-4))


def not_heeded(name: str) -> set[str]:
    """The fields of a format in the last table of the documentation; a format that heeds all has no row."""
    rows = re.findall(rf"^\| {re.escape(name)} \| (.*) \|$", DOCUMENTATION.read_text(encoding="utf-8"), re.MULTILINE)
    return {field for row in rows for field in re.findall("`([^`]+)`", row)}


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
        if path.suffix == ".ims":
            file[name].attrs[key] = np.array(list(str(value)) or [""], "S1")
        elif value is None:
            del file[name].attrs[key]
        else:
            file[name].attrs[key] = json.dumps(value) if isinstance(value, dict) else value


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


def wkw_folder(folder: Path, data: np.ndarray) -> str:
    return wkw(data, WKW_FIRST_ZYX, category="color", elementClass="int16")(folder)


def wkw_oracle(path: Path) -> Outcome:
    """The words of webKnossos' datasource-properties.json: a box in the finest voxels, of which a cube keeps all."""
    properties = json.loads((path / "datasource-properties.json").read_text())
    (layer,) = (each for each in properties["dataLayers"] if each["dataFormat"] == "wkw")
    (magnification,) = layer["mags"]
    stated = magnification["mag"]
    factors_xyz = [stated] * 3 if type(stated) is int else stated
    place = magnification.get("path", f"{layer['name']}/1" if factors_xyz == [1, 1, 1] else "elsewhere")
    assert (path / place).resolve() == path / "color/1"
    box = layer["boundingBox"]
    lengths_xyz = [box["width"], box["height"], box["depth"]]
    assert all(type(number) is int for number in (*factors_xyz, *box["topLeft"], *lengths_xyz))
    assert min(factors_xyz) > 0 <= min(box["topLeft"])
    sides = zip(box["topLeft"], lengths_xyz, factors_xyz, strict=True)
    z, y, x = (slice(first // by, -(-(first + length) // by)) for first, length, by in reversed(list(sides)))
    written = np.full((32, 32, 64), 77, np.int16)  # whole cubes
    written[tuple(slice(at, at + side) for at, side in zip(WKW_FIRST_ZYX, DATA.shape, strict=True))] = DATA
    beyond = [(0, max(0, part.stop - side)) for part, side in zip((z, y, x), written.shape, strict=True)]
    data = np.pad(written, beyond)[z, y, x]
    try:
        sizes = [float(size) * by for size, by in zip(properties["scale"], factors_xyz, strict=True)]
    except (KeyError, TypeError, ValueError):
        return data, None
    return data, believable((sizes[2], sizes[1], sizes[0]))


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


# --- TIFF: tags of all pages, or of one, and a description that is JSON (tifffile), lines (ImageJ) or XML (OME)

_ENTRY = {
    "JSON": re.compile(r'"(\w+)": (\[[^]]*\]|"[^"]*")'),
    "ImageJ": re.compile(r"^(\w+)=(.*)$", re.MULTILINE),
    "OME": re.compile(r'(\w+)="([^"]*)"'),
}


def description(page: tifffile.TiffPage) -> tuple[str, str]:
    """Its kind, empty for any other text, and itself."""
    text = str(page.description)
    if text.startswith('{"shape"'):
        return "JSON", text
    if text.startswith("ImageJ="):
        return "ImageJ", text
    return ("OME" if text.startswith("<?xml") and text.endswith("OME>") else ""), text


def tiff_fields(path: Path) -> list[str]:
    with tifffile.TiffFile(path) as file:
        names = [tag.name for tag in file.pages.first.tags]
        kind, text = description(file.pages.first)
    return [*names, *(f"{name} of page 2" for name in names), *(match[1] for match in _ENTRY[kind].finditer(text))]


def tiff_change(path: Path, field: str, value: Any) -> None:
    name, _, page = field.partition(" of page ")
    with tifffile.TiffFile(path, mode="r+b") as file:
        if name not in {tag.name for tag in file.pages.first.tags}:
            kind, text = description(file.pages.first)
            (match, *_) = (found for found in _ENTRY[kind].finditer(text) if found[1] == name)
            written = json.dumps(value) if kind == "JSON" else str(value)
            file.pages.first.tags["ImageDescription"].overwrite(
                (text[: match.start(2)] + written + text[match.end(2) :]).encode()
            )
            return
        for each in file.pages if not page else [file.pages[int(page)]]:
            if (tag := each.tags.get(name)) is None:
                continue
            number = int(value) % 2**16 if isinstance(value, int | float) and np.isfinite(value) else 1
            if tag.dtype == tifffile.DATATYPE.ASCII:
                tag.overwrite(str(value).encode())
            else:
                tag.overwrite((number, 1) if tag.dtype == tifffile.DATATYPE.RATIONAL else number)


def tiff_pages(path: Path) -> tuple[list[np.ndarray], tuple[str, str], Any]:
    """Each page by its own tags, what the first one describes, and its pixels a unit along y and x."""
    with tifffile.TiffFile(path, is_ome=False, is_imagej=False, is_shaped=False) as file:
        found = []
        for page in file.pages:
            data = page.asarray()
            if page.photometric not in (0, 1, 3):
                return [], ("", ""), None
            found.append(np.invert(data) if page.photometric == 0 else data)
        tags = file.pages.first.tags
        return found, description(file.pages.first), [tags[f"{axis}Resolution"].value for axis in "YX"]


def tiff_oracle(path: Path) -> Outcome:
    pages, (kind, text), resolution = tiff_pages(path)
    if not pages:
        return None
    data = np.stack(pages)
    if kind == "JSON":
        axes = re.search(r'"axes": "(\w*)"', text)
        if axes is None:
            return data, None
        named = axes[1].upper().replace("T", "Z")  # slices that are called times
        assert sorted(named) == ["X", "Y", "Z"]
        return data.transpose([named.index(axis) for axis in "ZYX"]), None
    found = dict(_ENTRY[kind].findall(text)) if kind else {}
    if kind == "ImageJ":  # FileOpener.decodeDescriptionString; counts that are not the stack's are not taken
        assert not found["images"].isdecimal() or int(found["images"]) <= len(pages)
        lengths = [nanometres(found.get(f"{axis}unit", found["unit"])) for axis in ("z", "y", "")]
        try:
            (y_pixels, y_units), (x_pixels, x_units) = resolution
            sizes = [abs(float(found["spacing"])), y_units / y_pixels, x_units / x_pixels]
        except (ValueError, ZeroDivisionError):
            return data, None
    elif kind == "OME":  # OME model 2016-06: from FirstZ on, PlaneCount planes are those from IFD on
        assert (found["SizeX"], found["SizeY"]) == (str(data.shape[2]), str(data.shape[1]))
        assert (found["SizeC"], found["SizeT"], found["SamplesPerPixel"]) == ("1", "1", "1")
        assert found["DimensionOrder"] in ("XYZCT", "XYZTC", "XYCTZ", "XYCZT", "XYTCZ", "XYTZC")
        count, first = int(found["SizeZ"]), int(found["IFD"])
        assert (count, int(found["PlaneCount"]) or count, first) == (len(pages), len(pages), 0)
        lengths = [nanometres(found[f"PhysicalSize{axis}Unit"]) for axis in "ZYX"]
        sizes = [float(found[f"PhysicalSize{axis}"]) for axis in "ZYX"]
    else:
        return data, None
    if None in lengths:
        return data, None
    z, y, x = (size * length for size, length in zip(sizes, lengths, strict=True))
    return data, believable((z, y, x))


# --- NumPy, PNG, HDF5


def npy_fields(_: Path) -> list[str]:
    return ["descr", "fortran_order", "shape"]


def npy_change(path: Path, field: str, value: Any) -> None:
    content = path.read_bytes()
    length = int.from_bytes(content[8:10], "little")
    header = ast.literal_eval(content[10 : 10 + length].decode()) | {field: value}
    written = repr(header).encode().ljust(length - 1)[: length - 1] + b"\n"
    path.write_bytes(content[:10] + written + content[10 + length :])


def npy_oracle(path: Path) -> Outcome:
    data = np.load(path)
    left = [*data.shape]
    while len(left) > 3:
        left.pop(-1 if left[-1] == 1 else 0)
    return data.reshape([1] * (3 - len(left)) + left), None


PNG_FIELDS = {"width": (16, ">I"), "height": (20, ">I"), "bit depth": (24, "B"), "colour type": (25, "B")} | {
    "compression": (26, "B"),
    "filter": (27, "B"),
    "interlace": (28, "B"),
}


def png_change(path: Path, field: str, value: Any) -> None:
    """Of all slices; PNG (third edition), 11.2.1 IHDR."""
    place, form = PNG_FIELDS[field]
    number = int(value) if isinstance(value, int | float) and np.isfinite(value) else 1
    for file in path.glob("*.png"):
        content = bytearray(file.read_bytes())
        struct.pack_into(form, content, place, number % 2 ** (8 * struct.calcsize(form)))
        struct.pack_into(">I", content, 29, zlib.crc32(content[12:29]))
        file.write_bytes(content)


def png_oracle(path: Path) -> Outcome:
    """imagecodecs' reader, by libpng; without gamma and colours."""
    pages = [imagecodecs.png_decode(file.read_bytes()) for file in sorted(path.glob("*.png"), key=lambda f: f.stem)]
    data = np.stack(pages)
    if data.ndim > 3:
        assert (data == data[..., :1]).all()
        data = data[..., 0]
    return data, None


JPEG_FIELDS = {
    **{"JFIF version": (b"\xff\xe0", 9, ">H"), "JFIF units": (b"\xff\xe0", 11, "B")},
    **{"JFIF x density": (b"\xff\xe0", 12, ">H"), "JFIF y density": (b"\xff\xe0", 14, ">H")},
    **{"quantisation table": (b"\xff\xdb", 4, "B"), "quantisation": (b"\xff\xdb", 5, "B")},
    **{"process": (b"\xff\xc0", 1, "B"), "precision": (b"\xff\xc0", 4, "B")},
    **{"lines": (b"\xff\xc0", 5, ">H"), "samples a line": (b"\xff\xc0", 7, ">H")},
    **{"components": (b"\xff\xc0", 9, "B"), "component": (b"\xff\xc0", 10, "B"), "sampling": (b"\xff\xc0", 11, "B")},
    **{"table of component": (b"\xff\xc0", 12, "B"), "table of codes": (b"\xff\xc4", 4, "B")},
    **{"components in scan": (b"\xff\xda", 4, "B"), "component in scan": (b"\xff\xda", 5, "B")},
    **{"tables in scan": (b"\xff\xda", 6, "B"), "first coefficient": (b"\xff\xda", 7, "B")},
    **{"last coefficient": (b"\xff\xda", 8, "B"), "approximation": (b"\xff\xda", 9, "B")},
}
"""The marker of a segment, where in it a field is, and its form: ITU-T T.81, annex B; JFIF 1.02."""


def jpeg_folder(folder: Path, data: np.ndarray) -> str:
    return slices(folder / "jpg", data, "{:03}.jpg", lambda path, page: Image.fromarray(page).save(path, quality=90))


def jpeg_change(path: Path, field: str, value: Any) -> None:
    """Of all slices."""
    marker, place, form = JPEG_FIELDS[field]
    number = int(value) if isinstance(value, int | float) and np.isfinite(value) else 1
    for file in path.glob("*.jpg"):
        content = bytearray(file.read_bytes())
        struct.pack_into(form, content, content.index(marker) + place, number % 2 ** (8 * struct.calcsize(form)))
        file.write_bytes(content)


def jpeg_oracle(path: Path) -> Outcome:
    """imagecodecs' reader, by libjpeg-turbo."""
    pages = [imagecodecs.jpeg8_decode(file.read_bytes()) for file in sorted(path.glob("*.jpg"))]
    data = np.stack(pages)
    if data.ndim > 3:
        assert (data == data[..., :1]).all()
        data = data[..., 0]
    return data, None


def hdf5_oracle(path: Path) -> Outcome:
    """The words of vigra's axistags, of CREMI's resolution (in nm), and of HDF5's labels of dimensions."""
    with h5py.File(path, "r") as file:
        dataset = file["raw"]
        data = dataset[()]
        tags, size = dataset.attrs.get("axistags"), dataset.attrs.get("resolution")
        try:
            names = "".join(axis["key"] for axis in json.loads(tags)["axes"])
        except (TypeError, ValueError):
            names = "".join(dimension.label for dimension in dataset.dims)
        assert sorted(names) == ["x", "y", "z"]
        order = [names.index(axis) for axis in "zyx"]
    if np.shape(size) != (3,) or np.asarray(size).dtype.kind not in "iuf" or not (np.asarray(size) > 0).all():
        return data.transpose(order), None
    z, y, x = (float(size[axis]) for axis in order)
    return data.transpose(order), believable((z, y, x))


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
    "WKW": Header(
        "wkw folder",
        json_fields("datasource-properties.json"),
        json_change("datasource-properties.json"),
        set(),
        wkw_oracle,
        (0, 1, 2, 7, 21, [2, 2, 1], [0, 0, 0], [4.0, 4.0, 40.0], "color/1", "./color/2", "wkw", "zarr"),
    ),
    "OME-Zarr": Header("ome-zarr 0.5", json_fields("zarr.json"), json_change("zarr.json"), set(), ome_zarr_oracle),
    "Imaris": Header("imaris", hdf5_fields, hdf5_change, set(), imaris_oracle),
    "TIFF": Header(
        "tiff named",
        tiff_fields,
        tiff_change,
        set(),
        tiff_oracle,
        (
            5,
            8,
            10,
            12,
            32,
            40,
            "ZXY",
            "XYZ",
            "YXZ",
            "YX",
            "TYX",
            "ZYXS",
            "ZYY",
            [20, 24],
            [80, 24],
            [4, 24, 20],
            [3, 20, 24],
        ),
    ),
    "ImageJ": Header(
        "imagej", tiff_fields, tiff_change, set(), tiff_oracle, (5, 8, 12, "5", "nm", "0.5", "true", "zct")
    ),
    "OME-TIFF": Header(
        "ome-tiff",
        tiff_fields,
        tiff_change,
        set(),
        tiff_oracle,
        (5, 8, 12, "5", "nm", "0.5", "XYCTZ", "YXZCT", "uint16", "uint8", "false"),
    ),
    "NumPy": Header(
        "npy",
        npy_fields,
        npy_change,
        set(),
        npy_oracle,
        (
            "<i2",
            ">i2",
            "<u2",
            "<f2",
            "|u1",
            "<i4",
            "|O",
            (20, 24, 4),
            (1, 20, 24),
            (80, 24),
            (4, 1, 20, 24),
            (4, 20, 24, 1),
        ),
    ),
    "PNG": Header("png folder", lambda _: list(PNG_FIELDS), png_change, set(), png_oracle, (5, 7, 8, 16, 12, 48), "u1"),
    "JPEG": Header(
        "jpeg folder", lambda _: list(JPEG_FIELDS), jpeg_change, set(), jpeg_oracle, (8, 12, 16, 17, 34, 0xC1, 63), "u1"
    ),
    "HDF5": Header(
        "hdf5 named",
        hdf5_fields,
        hdf5_change,
        set(),
        hdf5_oracle,
        (
            *(json.dumps({"axes": [{"key": axis} for axis in order]}) for order in ("xyz", "zxy", "yx", "tyx", "zyy")),
            *("xyz", (5.0, 4.0, 30.0), (30, 5, 4), (0.0, 5.0, 4.0), (30.0, 5.0), ["x", "y", "z"], ["z", "x", "y"]),
        ),
    ),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_field_is_read_as_others_read_it_or_refused_or_listed(name: str, tmp_path: Path) -> None:
    header = HEADERS[name]
    writers = {**WRITERS, "jpeg folder": jpeg_folder, "wkw folder": wkw_folder}
    location = tmp_path / writers[header.writer](tmp_path, DATA.astype(header.dtype))
    original = outcome(location)
    contents = {file: file.read_bytes() for file in (location, *location.rglob("*")) if file.is_file()}
    fields, listed = header.fields(location), not_heeded(name)
    if header.heeded:
        assert set(fields) == header.heeded | listed
        assert not header.heeded & listed
    assert_same(original, header.oracle(location))
    is_text = location.is_dir() or location.suffix in (".ims", ".tif", ".npy", ".h5")
    values = st.one_of(st.sampled_from(header.values), anything) if header.values else anything if is_text else numbers

    @settings(max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(fields), values)
    def check(field: str, value: Any) -> None:
        for file, content in contents.items():
            file.write_bytes(content)
        header.change(location, field, value)
        found = outcome(location)
        if found is not None:
            names = {field.partition(" of page ")[0]}
            if field.startswith("["):  # the way to an entry of JSON
                names = {name for name in json.loads(field) if isinstance(name, str)}
            assert_same(found, original if names & listed else header.oracle(location))

    check()
