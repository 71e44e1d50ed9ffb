"""What laboratories' files really hold: a table of inputs, each with its right voxels and size, or its refusal.

An input is a function that writes it and gives its location. It is entered by `holds`, with what is right, or by
`refused`, with the words that its message must have. The rules and their sources stand in docs/formats.md.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import mrcfile
import nibabel
import nrrd as pynrrd
import numpy as np
import tensorstore
import tifffile
import zarr
from PIL import Image
from volume_formats import VOXEL_SIZE_NM, gatan_content

from pipeline.volume.geometry import ZyxNm

Z, Y, X = np.indices((6, 24, 40))
A = ((Z * 7 + Y + X // 2 + np.random.default_rng(0).integers(0, 40, Z.shape)) % 200 + 20).astype("u1")
"""Grey values from 20 to 219; no two sides are alike."""
L = ((Y // 3 + X // 3 + Z // 2) % 3 + 1).astype("u1")
"""Ids 1, 2 and 3."""
SIZE_NM: ZyxNm = (10.0, 5.0, 4.0)

Write = Callable[[Path], str]


@dataclass(frozen=True)
class Input:
    """write: makes the files in an empty folder and gives the location. voxels: right; None where it is refused.

    size_nm: stated, z, y, x. note: words of the note about it. refusal: words of the message.
    labels: whether it is read as labels. references: whether it lies in several files, which a stranger's may not.
    """

    write: Write
    voxels: np.ndarray | None
    size_nm: ZyxNm | None = None
    note: str = ""
    refusal: str = ""
    labels: bool = False
    references: bool = False


TABLE: dict[str, Input] = {}


def holds(
    name: str,
    voxels: np.ndarray,
    write: Write,
    size_nm: ZyxNm | None = None,
    *,
    note: str = "",
    labels: bool = False,
    references: bool = False,
) -> None:
    assert name not in TABLE
    TABLE[name] = Input(write, voxels, size_nm, note, labels=labels, references=references)


def refused(name: str, refusal: str, write: Write, *, labels: bool = False) -> None:
    assert name not in TABLE
    TABLE[name] = Input(write, None, refusal=refusal, labels=labels)


def in_order(order: str, data: np.ndarray = A) -> np.ndarray:
    """Transposed, with axes of length one for those that are not of space."""
    space = data.transpose(["zyx".index(axis) for axis in order if axis in "zyx"])
    return np.expand_dims(space, [place for place, axis in enumerate(order) if axis not in "zyx"])


# --- slices in a folder


def slices(
    names: Sequence[str] | str, data: np.ndarray = A, write: Callable[[Path, np.ndarray], object] | None = None
) -> Write:
    """Slices by these names, or by a pattern of n (from 1), um (a depth) and s (seconds)."""

    def make(folder: Path) -> str:
        (folder / "s").mkdir()
        for n, page in enumerate(data, start=1):
            name = names.format(n=n, um=0.96 + n / 100, down=9 - n, s=5 * n) if isinstance(names, str) else names[n - 1]
            path = folder / "s" / name
            if write:
                write(path, page)
            elif path.suffix == ".tif":
                tifffile.imwrite(path, page)
            else:
                Image.fromarray(page).save(path)
        return "s"

    return make


def at(inner: str, write: Write) -> Write:
    return lambda folder: f"{write(folder)}:/{inner}"


for pattern in (
    "{n}.png",
    "slice_{n:05}.tif",
    "run7_{n}.png",
    "section_{n:03}_z={um:.1f}um.tif",
    "section_{n:03}_z={um:.2f}um.tif",
    "z={um:.2f}um.png",
    "SEM_{n:04}_20240131_2359{s:02}.tif",
    "SEM_2024-01-31_23-59-{s:02}_{n}.tif",
    "{n}_20240131-2359{s:02}.png",
    "stack1.{n}.png",
    "9_{n:02}_of_16.png",
):
    holds(f"slices {pattern}", A, slices(pattern))
for names in ("3,4,5,6,7,8", "8,9,10,11,12,13", "0.98,0.99,1,1.01,1.02,1.03", "98,99,100,101,102,103"):
    holds(f"slices {names}", A, slices([f"a{name}.png" for name in names.split(",")]))
holds("slices, of two orders the one that is asked for", A, at("a{}_", slices("a{n}_b{down}.png")))
holds("slices, every tenth by its depth, asked for", A, at("z={}um", slices("q{down}_z={um:.2f}um.png")))
refused("slices of two orders", "in different orders; say which one", slices("a{n}_b{down}.png"))
refused("slices by their time alone", "number the slices", slices("SEM_20240131_2359{s:02}.tif"))
refused("slices without number", "number the slices", slices([f"{c}.png" for c in "abcdef"]))
refused("slices, one missing", "slice 4 is missing", slices([f"{n}.png" for n in (1, 2, 3, 5, 6, 7)]))
refused(
    "slices, one depth missing",
    r"slice 0\.99 is missing",
    slices([f"z={z}um.png" for z in ("0.96", "0.97", "0.98", "1.00", "1.01", "1.02")]),
)
refused("slices, a number twice", "both are slice 1", slices(["1.png", "01.png", "2.png"], A[:3]))
refused("slices, a pattern that is not in the names", "has no number at the", at("q{}", slices("{n}.png")))
refused("slices of two formats", "3 PNG and 3 TIFF", slices(["1.png", "2.tif", "3.png", "4.tif", "5.png", "6.tif"]))


# --- what a slice may be


def as_mode(mode: str) -> Callable[[Path, np.ndarray], None]:
    return lambda path, page: Image.fromarray(page).convert(mode).save(path)


def transparent(path: Path, page: np.ndarray) -> None:
    image = Image.fromarray(page).convert("LA")
    image.putalpha(128)
    image.save(path)


def tinted(path: Path, page: np.ndarray) -> None:
    Image.fromarray(np.stack([page, page, page // 2], -1)).save(path)


def by_table(path: Path, page: np.ndarray) -> None:
    """A grey palette in another order: the picture is that of A."""
    image = Image.fromarray(np.argsort(TABLE_OF_GREYS).astype("u1")[page])
    image.putpalette(np.repeat(TABLE_OF_GREYS, 3).tobytes())
    image.save(path)


def in_colours(path: Path, page: np.ndarray) -> None:
    image = Image.fromarray(page)
    image.putpalette(np.random.default_rng(2).integers(0, 256, 768, np.uint8).tobytes())
    image.save(path)


def raw_png(path: Path, page: np.ndarray, rows: bytes, bits: int = 8, interlaced: bool = False) -> None:
    """A grey PNG (11.2.1 IHDR) of rows as they are, which Pillow does not write by itself."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", *page.shape[::-1], bits, 0, 0, 0, interlaced)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    parts = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def few_bits(path: Path, page: np.ndarray) -> None:
    """Of two bits a pixel."""
    raw_png(
        path,
        page,
        b"".join(b"\0" + np.packbits(np.unpackbits(row[:, None], axis=1)[:, -2:]).tobytes() for row in page),
        2,
    )


def without_rows(path: Path, page: np.ndarray) -> None:
    """Whole but for its last two rows: chunks and checksums are right."""
    raw_png(path, page, b"".join(b"\0" + row.tobytes() for row in page[:-2]))


def without_interlaced_rows(path: Path, page: np.ndarray) -> None:
    """The first six of the seven passes (8.1), whose voxels are all 7."""
    height, width = page.shape
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2))
    rows = ((b"\0" + bytes([7]) * len(range(x, width, dx))) * len(range(y, height, dy)) for y, x, dy, dx in passes)
    raw_png(path, page, b"".join(rows), interlaced=True)


TABLE_OF_GREYS = np.random.default_rng(1).permutation(256).astype("u1")
indices = np.argsort(TABLE_OF_GREYS).astype("u1")[A]
for mode in ("LA", "RGB", "RGBA"):
    holds(f"PNG {mode}, equal and opaque", A, slices("{n}.png", A, as_mode(mode)))
    holds(f"PNG {mode}, equal and opaque, labels", L, slices("{n}.png", L, as_mode(mode)), labels=True)
refused("PNG LA, transparent", "transparent", slices("{n}.png", A, transparent))
refused("PNG RGB, tinted", "colour", slices("{n}.png", A, tinted))
refused("PNG RGB, tinted labels", "colour", slices("{n}.png", L, tinted), labels=True)
holds("PNG with a table of greys", A, slices("{n}.png", A, by_table))
holds("PNG with a table of greys, labels", indices, slices("{n}.png", A, by_table), labels=True)
holds("PNG with colours of labels", L, slices("{n}.png", L, in_colours), labels=True)
refused("PNG whose last rows are missing", "last rows are missing", slices("{n}.png", A, without_rows))
refused("PNG, interlaced, whose last rows are missing", "last rows", slices("{n}.png", A, without_interlaced_rows))
holds("PNG whose last rows are black", A * (Y < 20), slices("{n}.png", A * (Y < 20)))
holds("PNG of 16 bits", A.astype("u2") * 257, slices("{n}.png", A.astype("u2") * 257))
holds("PNG of one bit", L == 2, slices("{n}.png", L == 2), labels=True)
holds("PNG of two bits, labels", L, slices("{n}.png", L, few_bits), labels=True)
holds("PNG of two bits", L * 85, slices("{n}.png", L, few_bits))
jpeg = np.full_like(A, 77)  # which loses nothing
holds("JPEG", jpeg, slices("{n}.jpg", jpeg))
holds("JPEG, three channels alike", jpeg, slices("{n}.JPEG", jpeg, as_mode("RGB")))
refused("JPEG of labels", "JPEG changes the ids", slices("{n}.jpg", L), labels=True)
refused("JPEG in colours", "colour", slices("{n}.jpg", A, tinted))
refused(
    "slices of two sizes",
    "bring all slices to one size",
    slices("{n}.png", A, lambda p, a: Image.fromarray(a[: 9 + int(p.stem)]).save(p)),
)
for options in ({}, {"compression": "zlib"}, {"compression": "lzw", "predictor": True}, {"tile": (16, 16)}):
    holds(f"TIFF slices {options}", A, slices("{n}.tif", A, lambda p, a, o=options: tifffile.imwrite(p, a, **o)))
holds(
    "TIFF slices of three equal channels",
    A,
    slices("{n}.tif", A, lambda path, page: tifffile.imwrite(path, np.stack([page] * 3, -1), photometric="rgb")),
)


# --- one TIFF


def tiff(data: np.ndarray = A, **options: Any) -> Write:
    def make(folder: Path) -> str:
        tifffile.imwrite(folder / "a.tif", data, **options)
        return "a.tif"

    return make


def pages(odd: dict[str, Any], most: dict[str, Any] | None = None, data: np.ndarray = A) -> Write:
    """Page by page, of which one has options of its own."""

    def make(folder: Path) -> str:
        with tifffile.TiffWriter(folder / "a.tif") as file:
            for z, page in enumerate(data):
                options = {"photometric": "minisblack", **(odd if z == 3 else most or {"compression": "zlib"})}
                stored = 255 - page if options["photometric"] == "miniswhite" else page
                file.write(stored, contiguous=False, metadata=None, **options)
        return "a.tif"

    return make


def imagej(unit: str, spacing: object, per_unit: tuple[float, float], **more: Any) -> Write:
    metadata = {"axes": "ZYX", "unit": unit, "spacing": spacing, **more}
    return tiff(imagej=True, resolution=per_unit, metadata=metadata)


def ome(unit: str, z: float, y: float, x: float) -> Write:
    sizes: dict[str, object] = {"PhysicalSizeZ": z, "PhysicalSizeY": y, "PhysicalSizeX": x}
    units = {f"PhysicalSize{axis}Unit": unit for axis in "XYZ"} if unit else {}
    return tiff(ome=True, photometric="minisblack", metadata={"axes": "ZYX", **sizes, **units})


for odd in (
    {"compression": "lzw"},
    {"compression": None},
    {"compression": "zlib", "predictor": True},
    {"compression": "zlib", "rowsperstrip": 7},
    {"compression": "zlib", "tile": (16, 16)},
    {"compression": "zlib", "photometric": "miniswhite"},
    {"compression": "zstd"},
    {"compression": "packbits"},
):
    holds(f"TIFF, one page with {odd}", A, pages(odd))
    holds(f"TIFF, one page among uncompressed with {odd}", A, pages(odd, {"compression": None}))
for options in ({}, {"bigtiff": True}, {"byteorder": ">"}, {"compression": "lzw"}, {"tile": (16, 16)}):
    holds(f"TIFF {options}", A, tiff(photometric="minisblack", **options))
    holds(
        f"TIFF {options} of 16 bits",
        A.astype("u2") * 300,
        tiff(A.astype("u2") * 300, photometric="minisblack", **options),
    )
holds("TIFF, white is zero", A, tiff(255 - A, photometric="miniswhite"))
holds("TIFF, white is zero, ids", L, tiff(L, photometric="miniswhite"), labels=True)
holds(
    "TIFF, an inverting table of ImageJ",
    A,
    tiff(255 - A, imagej=True, photometric="miniswhite", metadata={"axes": "ZYX"}),
)
refused("TIFF, a mask of one bit by tifffile", "uint8", tiff(L == 2), labels=True)
holds(
    "TIFF, a grey table",
    A,
    tiff(indices, photometric="palette", colormap=np.stack([TABLE_OF_GREYS.astype("u2") * 257] * 3), metadata=None),
)
holds("TIFF, three equal channels", A, tiff(np.stack([A] * 3, -1), photometric="rgb"))
holds(
    "TIFF, four equal channels, opaque",
    A,
    tiff(np.stack([A] * 3 + [np.full_like(A, 255)], -1), photometric="rgb", extrasamples=["unassalpha"]),
)
refused("TIFF, colours", "colour", tiff(np.stack([A, A, A // 2], -1), photometric="rgb"))
for depth in (1, 4, 16):
    for more in ({}, {"compression": "zlib"}, {"byteorder": ">", "compression": "zlib", "predictor": True}):
        volumetric = {"photometric": "minisblack", "volumetric": True, "tile": (depth, 16, 16), **more}
        holds(f"TIFF of one page with three sides, tiles {depth} deep, {more}", A, tiff(**volumetric))
for count in (3, 4):
    refused(
        f"TIFF, {count} slices called colours",
        r"'axes': 'ZYX'",
        tiff(A[:count], photometric="rgb", planarconfig="separate"),
    )
refused("TIFF, slices called channels", r"'axes': 'ZYX'", tiff(imagej=True, metadata={"axes": "CYX"}))
refused(
    "TIFF, channels of a stack",
    "several channels",
    tiff(A.reshape(3, 2, 24, 40), imagej=True, metadata={"axes": "ZCYX"}),
)
refused(
    "TIFF, a time series of stacks",
    "3 time points of 2 slices",
    tiff(A.reshape(3, 2, 24, 40), imagej=True, metadata={"axes": "TZYX"}),
)
holds("TIFF, slices called times", A, tiff(imagej=True, metadata={"axes": "TYX"}))
for unit, factor in (
    ("nm", 1),
    ("micron", 1e3),
    ("um", 1e3),
    ("\\u00B5m", 1e3),
    ("\\u00C5", 0.1),
    ("mm", 1e6),
    ("cm", 1e7),
):
    holds(f"ImageJ in {unit}", A, imagej(unit, 10 / factor, (factor / 4, factor / 5)), SIZE_NM)
holds("ImageJ, z in a unit of its own", A, imagej("micron", 10.0, (250, 200), zunit="nm"), SIZE_NM)
holds("ImageJ, z and y in units of their own", A, imagej("mm", 10.0, (250000, 200), yunit="um", zunit="nm"), SIZE_NM)
holds("ImageJ, spacing below zero", A, imagej("nm", -10.0, (1 / 4, 1 / 5)), SIZE_NM)
for name, write in {
    "without a unit": imagej("", 10.0, (1 / 4, 1 / 5)),
    "in pixels": imagej("pixel", 10.0, (1 / 4, 1 / 5)),
    "with a spacing that is no number": imagej("nm", "ten", (1 / 4, 1 / 5)),
}.items():
    holds(f"ImageJ {name}", A, write)
holds("ImageJ, spacing of zero", A, imagej("nm", 0.0, (1 / 4, 1 / 5)), note="no size")
holds("ImageJ, slices thinner than pixels", A, imagej("nm", 1.0, (1 / 4, 1 / 5)), note="thinner")
for unit, factor in (("nm", 1), ("µm", 1e3), ("", 1e3), ("Å", 0.1), ("mm", 1e6)):
    holds(f"OME-TIFF in {unit or 'no unit'}", A, ome(unit, *(size / factor for size in SIZE_NM)), SIZE_NM)
holds("OME-TIFF in pixels", A, ome("pixel", *SIZE_NM))
holds("OME-TIFF, a size of zero", A, ome("nm", 0, 5, 4), note="no size")


def ome_of_two_files(folder: Path) -> str:
    """OME model 2016-06: the first file names the file of each plane."""
    planes = "".join(
        f'<TiffData FirstZ="{z}" IFD="{z % 3}" PlaneCount="1"><UUID FileName="{"ab"[z // 3]}.ome.tif">'
        f"urn:uuid:0000000{z // 3}-0000-0000-0000-000000000000</UUID></TiffData>"
        for z in range(6)
    )
    for n, name in enumerate("ab"):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:0000000{n}-0000-0000-0000-000000000000"><Image ID="Image:0"><Pixels ID="Pixels:0" '
            'DimensionOrder="XYZCT" Type="uint8" SizeX="40" SizeY="24" SizeZ="6" SizeC="1" SizeT="1" '
            'PhysicalSizeX="4" PhysicalSizeXUnit="nm" PhysicalSizeY="5" PhysicalSizeYUnit="nm" PhysicalSizeZ="10" '
            f'PhysicalSizeZUnit="nm">{planes}</Pixels></Image></OME>'
        )
        with tifffile.TiffWriter(folder / f"{name}.ome.tif") as file:
            for z, page in enumerate(A[3 * n : 3 * n + 3]):
                file.write(page, description=None if z else xml, metadata=None, contiguous=False)
    return "a.ome.tif"


def edited_text(write: Write, old: str, new: str) -> Write:
    """Another description of the first page."""

    def make(folder: Path) -> str:
        location = write(folder)
        with tifffile.TiffFile(folder / location, mode="r+b") as file:
            tag = file.pages.first.tags["ImageDescription"]
            assert old in tag.value
            tag.overwrite(tag.value.replace(old, new).encode())
        return location

    return make


def with_tag(name: str, value: int, write: Write) -> Write:
    """Another value of a tag, on all pages."""

    def make(folder: Path) -> str:
        location = write(folder)
        with tifffile.TiffFile(folder / location, mode="r+b") as file:
            for page in file.pages:
                page.tags[name].overwrite(value)
        return location

    return make


def one_by_one(folder: Path, **options: Any) -> str:
    with tifffile.TiffWriter(folder / "a.tif") as file:
        for page in A:
            file.write(page, photometric="minisblack", contiguous=False, **options)
    return "a.tif"


def two_stacks(folder: Path) -> str:
    with tifffile.TiffWriter(folder / "a.tif") as file:
        for part in (A[:2], A[2:]):
            file.write(part, photometric="minisblack", contiguous=False)
    return "a.tif"


def without_second_file(folder: Path) -> str:
    location = ome_of_two_files(folder)
    (folder / "b.ome.tif").unlink()
    return location


def as_series(axes: str) -> Write:
    """By tifffile, with axes of length one."""

    def make(folder: Path) -> str:
        shape = [dict(zip("ZYX", A.shape, strict=True)).get(axis, 1) for axis in axes]
        tifffile.imwrite(folder / "a.tif", A.reshape(shape), photometric="minisblack", metadata={"axes": axes})
        return "a.tif"

    return make


for axes in ("TZCYX", "ZCYX", "ZTYX", "CZYX", "ZYXS", "TCZYX"):
    holds(f"TIFF, axes {axes}", A, as_series(axes))


def named(axes: str, **options: Any) -> Write:
    """By tifffile, with axes in this order."""
    stored = in_order(axes.lower().replace("t", "z"))
    return tiff(stored, photometric="minisblack", metadata={"axes": axes}, **options)


for axes in ("ZXY", "XYZ", "YXZ", "XZY", "YZX", "zxy", "XYT"):
    for options in ({}, {"compression": "zlib"}):
        holds(f"TIFF, its axes named {axes}, {options}", A, named(axes, **options))
for axes, stored in {"ZYY": "ZYX", "ZAB": "ZYX"}.items():
    refused(
        f"TIFF, its axes named {axes}",
        f"called {axes}",
        edited_text(named(stored), f'"axes": "{stored}"', f'"axes": "{axes}"'),
    )
refused(
    "TIFF, slices one by one whose axes are named XY",
    "called XY",
    lambda folder: one_by_one(folder, metadata={"axes": "XY"}),
)
refused("TIFF, two stacks", "2 stacks", lambda folder: two_stacks(folder))
refused(
    "TIFF, the shape of fewer slices, and axes by other names",
    "called ZXY",
    edited_text(named("ZXY"), '"shape": [6,', '"shape": [3,'),
)
for code, word in ((5, "SEPARATED"), (32803, "CFA"), (8, "CIELAB")):
    refused(f"TIFF, {word}", f"interpretation is {word}", with_tag("PhotometricInterpretation", code, tiff()))
refused(
    "OME-TIFF, a plane that nothing describes",
    "no plane for 1 slices",
    edited_text(ome("nm", *SIZE_NM), 'IFD="0" PlaneCount="6"', 'IFD="1" PlaneCount="5"'),
)
refused(
    "OME-TIFF of fewer slices",
    "claims 3 slices, but holds 6",
    edited_text(ome("nm", *SIZE_NM), 'SizeZ="6"', 'SizeZ="3"'),
)
refused(
    "OME-TIFF of another width",
    "do not describe one stack",
    edited_text(ome("nm", *SIZE_NM), 'SizeX="40"', 'SizeX="41"'),
)
refused(
    "ImageJ of fewer slices",
    "claims 3 slices, but holds 6|of 6 slices it holds 3",
    edited_text(imagej("nm", 10.0, (1 / 4, 1 / 5)), "slices=6", "slices=3"),
)
holds("OME-TIFF of two files", A, ome_of_two_files, SIZE_NM, references=True)
refused("OME-TIFF of two files, one missing", "several files|b.ome.tif, which is missing", without_second_file)


# --- archives


def packed(entries: dict[str, bytes | None], name: str = "a.zip") -> Write:
    """A zip file; None stands for the TIFF of A."""

    def make(folder: Path) -> str:
        content = io.BytesIO()
        tifffile.imwrite(content, A, photometric="minisblack")
        with zipfile.ZipFile(folder / name, "w") as file:
            for entry, data in entries.items():
                file.writestr(entry, content.getvalue() if data is None else data)
        return name

    return make


def png(page: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(page).save(content, "PNG")
    return content.getvalue()


slices_of_png = {f"{z}.png": png(page) for z, page in enumerate(A)}
for name, entries in {
    "of macOS": {"a.tif": None, "__MACOSX/._a.tif": b"x", ".DS_Store": b"x"},
    "of macOS, one folder": {"f/a.tif": None, "f/.DS_Store": b"x", "__MACOSX/f/._a.tif": b"x", "__MACOSX/._f": b"x"},
    "of Windows": {"f/a.tif": None, "f/Thumbs.db": b"x", "f/desktop.ini": b"x"},
    "with a text beside the stack": {"f/a.tif": None, "f/README.txt": b"x"},
    "with a table beside the stack": {"a.tif": None, "measurements.csv": b"x"},
    "two folders deep": {"f/g/a.tif": None},
    "with entries for folders": {"f/": b"", "f/a.tif": None},
    "of slices": slices_of_png,
    "of slices in a folder": {f"f/{name}": data for name, data in slices_of_png.items()},
    "of slices with backslashes": {f"f\\{name}": data for name, data in slices_of_png.items()},
    "of slices, of macOS": {
        **{f"f/{name}": data for name, data in slices_of_png.items()},
        **{f"__MACOSX/f/._{name}": b"x" for name in slices_of_png},
    },
}.items():
    holds(f"zip {name}", A, packed(entries))
refused("zip of two stacks", "differ in no number", packed({"a.tif": None, "b.tif": None}))
refused("zip of two folders", "name one part", packed({"f/a.tif": None, "g/a.tif": None}))
holds("zip of two stacks, one named", A, at("b.tif", packed({"a.tif": None, "b.tif": None})))
refused("zip in a zip", "only once", packed({"a.zip": b"x"}))
refused("zip out of its folder", "leads out", packed({"../a.tif": None}))


# --- MRC


def mrc(data: np.ndarray = A, **header: Any) -> Write:
    def make(folder: Path) -> str:
        stored = data.view("i1") if data.dtype == np.uint8 else data
        with mrcfile.new(folder / "a.mrc") as file:
            file.set_data(stored)
            file.voxel_size = tuple(10 * size for size in SIZE_NM[::-1])
            file.header.dmin, file.header.dmax = data.min(), data.max()
            for name, value in header.items():
                file.header[name] = value
        return "a.mrc"

    return make


def with_bytes(at: int, content: bytes, write: Write) -> Write:
    def make(folder: Path) -> str:
        location = write(folder)
        path = folder / location.partition(":")[0]
        stored = bytearray(path.read_bytes())
        stored[at : at + len(content)] = content
        path.write_bytes(stored)
        return location

    return make


def imod(flags: int) -> bytes:
    return struct.pack("<ii", 1146047817, flags)


def half_bytes(data: np.ndarray, **header: Any) -> Write:
    """Mode 101 (IMOD's mrc_format.txt): the first of two columns in the low bits, rows of whole bytes."""

    def make(folder: Path) -> str:
        location = mrc(data, mode=101, **header)(folder)
        padded = np.pad(data, [(0, 0), (0, 0), (0, data.shape[2] % 2)])
        head = (folder / location).read_bytes()[:1024]
        (folder / location).write_bytes(head + (padded[..., ::2] | padded[..., 1::2] << 4).tobytes())
        return location

    return make


grey16 = A.astype("i2") * 100
for dtype in ("i2", "u2", "f4", "f2"):
    holds(f"MRC of {dtype}", A.astype(dtype), mrc(A.astype(dtype)), SIZE_NM)
holds("MRC, bytes above 127", A, mrc(), SIZE_NM)
holds("MRC, bytes below 0", (A.astype("i2") - 120).astype("i1"), mrc((A.astype("i2") - 120).astype("i1")), SIZE_NM)
holds("MRC of IMOD, unsigned", A, with_bytes(152, imod(0), mrc(dmin=0, dmax=100)), SIZE_NM)
holds("MRC of IMOD, signed", A.view("i1"), with_bytes(152, imod(1), mrc()), SIZE_NM)
for order in ("xyz", "xzy", "yxz", "yzx", "zxy"):
    counted = {"mx": 40, "my": 24, "mz": 6, "cella": (1600, 1200, 600)}
    axes = dict(zip(("maps", "mapr", "mapc"), ("xyz".index(axis) + 1 for axis in order), strict=True))
    holds(
        f"MRC, {order}",
        grey16,
        mrc(grey16.transpose(["zyx".index(axis) for axis in order]), **axes, **counted),
        SIZE_NM,
    )
holds("MRC, axes left out", grey16, mrc(grey16, mapc=0, mapr=0, maps=0), SIZE_NM)
refused("MRC, an axis twice", "columns, rows and sections", mrc(grey16, mapc=1, mapr=1, maps=3))
for mode, word in ((3, "complex"), (4, "complex"), (16, "colour"), (77, "77")):
    refused(f"MRC, mode {mode}", f"MRC mode {mode}.*{word}|MRC mode {mode}", mrc(grey16, mode=mode))
refused("MRC of IMOD, two columns a byte", "two columns in each byte", with_bytes(152, imod(16), mrc()))
for columns in (40, 39):
    halves = A[..., :columns] >> 4
    holds(f"MRC of half a byte a voxel, {columns} columns", halves, half_bytes(halves), (10.0, 5.0, 4.0))
holds(
    "MRC of half a byte a voxel, xzy",
    A >> 4,
    half_bytes((A >> 4).transpose(2, 0, 1), mapc=2, mapr=3, maps=1, mx=40, my=24, mz=6, cella=(1600, 1200, 600)),
    SIZE_NM,
)
refused("MRC of half a byte a voxel, cut off", "truncated", lambda folder: cut(folder, half_bytes(A >> 4)))
holds("MRC, one angstrom", grey16, mrc(grey16, cella=(40, 24, 6)))
holds("MRC, no cell", grey16, mrc(grey16, cella=(0, 0, 0)))
holds("MRC, an image stack", grey16, mrc(grey16, mz=1, ispg=0), note="image stack")
holds("MRC, an extended header", grey16, lambda folder: with_extended(folder), SIZE_NM)
refused("MRC, cut off", "truncated", lambda folder: cut(folder, mrc(grey16)))


def with_extended(folder: Path) -> str:
    with mrcfile.new(folder / "a.mrc") as file:
        file.set_data(grey16)
        file.set_extended_header(np.zeros(512, "u1"))
        file.voxel_size = tuple(10 * size for size in SIZE_NM[::-1])
    return "a.mrc"


def cut(folder: Path, write: Write) -> str:
    location = write(folder)
    path = folder / location.partition(":")[0]
    path.write_bytes(path.read_bytes()[:-100])
    return location


# --- HDF5


def hdf5(arrays: dict[str, np.ndarray], name: str = "a.h5", **attributes: Any) -> Write:
    """Datasets with attributes, which all have."""

    def make(folder: Path) -> str:
        with h5py.File(folder / name, "w") as file:
            for path, data in arrays.items():
                file[path] = data
                file[path].attrs.update(attributes)
        return name

    return make


def tagged(order: str) -> str:
    return json.dumps({"axes": [{"key": axis, "typeFlags": 1 if axis == "c" else 2} for axis in order]})


def with_labels(order: str) -> Write:
    def make(folder: Path) -> str:
        with h5py.File(folder / "a.h5", "w") as file:
            file["d"] = in_order(order)
            for dimension, axis in zip(file["d"].dims, order, strict=True):
                dimension.label = axis
        return "a.h5"

    return make


def characters(value: object) -> np.ndarray:
    return np.array(list(str(value)), "S1")


def imaris(
    name: str = "a.ims", channels: int = 1, unit: str = "um", extent: Sequence[float] = (0.16, 0.12, 0.06)
) -> Write:
    """As Imaris 5.5 lays it out: padded, attributes in single characters, a coarser level and a preview."""

    def make(folder: Path) -> str:
        with h5py.File(folder / name, "w") as file:
            for level, data in enumerate((A, A[:, ::2, ::2])):
                for channel in range(channels):
                    group = file.create_group(f"DataSet/ResolutionLevel {level}/TimePoint 0/Channel {channel}")
                    group["Data"] = np.pad(data, [(0, 3), (0, 8), (0, 24)])
                    group["Histogram"] = np.zeros(256, "u8")
                    for axis, length in zip("ZYX", data.shape, strict=True):
                        group.attrs[f"ImageSize{axis}"] = characters(length)
            image = file.create_group("DataSetInfo/Image").attrs
            for n, length in enumerate(extent):
                image[f"ExtMin{n}"], image[f"ExtMax{n}"] = characters(1.5), characters(1.5 + length)
            image["Unit"] = characters(unit)
            file["Thumbnail/Data"] = np.zeros((16, 64), "u1")
        return name

    return make


BDV_XML = """<SpimData version="0.2"><BasePath type="relative">.</BasePath><SequenceDescription>
<ImageLoader format="bdv.hdf5"><hdf5 type="relative">a.h5</hdf5></ImageLoader><ViewSetups><ViewSetup><id>0</id>
<size>40 24 6</size><voxelSize><unit>um</unit><size>0.004 0.005 0.01</size></voxelSize></ViewSetup></ViewSetups>
</SequenceDescription></SpimData>"""


def bdv(folder: Path) -> str:
    """As BigDataViewer and npy2bdv lay it out: uint16 declared as int16, factors of levels in x, y, z."""
    with h5py.File(folder / "a.h5", "w") as file:
        file["s00/resolutions"] = np.array([[1, 1, 1], [2, 2, 1]], "f8")
        file["s00/subdivisions"] = np.array([[16, 16, 4], [16, 16, 4]], "i4")
        file["t00000/s00/0/cells"] = (A.astype("u2") * 200).view("i2")
        file["t00000/s00/1/cells"] = (A[:, ::2, ::2].astype("u2") * 200).view("i2")
    return "a.h5"


def bdv_with_xml(folder: Path) -> str:
    (folder / "a.xml").write_text(BDV_XML)
    return bdv(folder)


holds("HDF5", A, hdf5({"d": A}))
holds("HDF5, ids of 64 bits", L.astype("u8") + 2**63, hdf5({"d": L.astype("u8") + 2**63}), labels=True)
for order in ("xyz", "zxy", "yxz", "zyx", "xyzc", "czyx", "tzyxc"):
    holds(f"HDF5 of ilastik, {order}", A, hdf5({"exported_data": in_order(order)}, axistags=tagged(order)))
for order in ("xyz", "zxy", "yxz", "zyx"):
    holds(f"HDF5, labels of dimensions {order}", A, with_labels(order))
refused("HDF5 of ilastik, two channels", "three axes", hdf5({"d": np.stack([A, A], -1)}, axistags=tagged("zyxc")))
holds("HDF5, element_size_um", A, hdf5({"d": A}, element_size_um=np.divide(SIZE_NM, 1000)), SIZE_NM)
holds(
    "HDF5, element_size_um and axistags",
    A,
    hdf5({"d": in_order("xyz")}, axistags=tagged("xyz"), element_size_um=np.divide(SIZE_NM[::-1], 1000)),
    SIZE_NM,
)
holds(
    "HDF5 of CREMI",
    A,
    at("volumes/raw", hdf5({"volumes/raw": A, "volumes/labels/clefts": L}, resolution=SIZE_NM, offset=(0, 0, 0))),
    SIZE_NM,
)
holds("HDF5, element_size_um of zeros", A, hdf5({"d": A}, element_size_um=(0, 0, 0)))
refused("HDF5, several datasets", "name one dataset", hdf5({"a": A, "b": L}))
refused("HDF5, no volume", "name one dataset", hdf5({"a": np.zeros(3)}))
holds("Imaris", A, imaris(), SIZE_NM)
holds("Imaris by another name", A, imaris("a.h5"), SIZE_NM)
holds("Imaris in nm", A, imaris(unit="nm", extent=(160, 120, 60)), SIZE_NM)
holds("Imaris without extent", A, imaris(extent=(0, 0, 0)))
holds(
    "Imaris, a coarser level",
    A[:, ::2, ::2],
    at("DataSet/ResolutionLevel 1/TimePoint 0/Channel 0/Data", imaris()),
    (10, 10, 8),
)
holds(
    "Imaris, one of two channels",
    A,
    at("DataSet/ResolutionLevel 0/TimePoint 0/Channel 1/Data", imaris(channels=2)),
    SIZE_NM,
)
refused("Imaris, two channels", "name one dataset", imaris(channels=2))
holds("BigDataViewer", A.astype("u2") * 200, bdv)
holds("BigDataViewer, a coarser level", A[:, ::2, ::2].astype("u2") * 200, at("t00000/s00/1/cells", bdv))


# --- Zarr


def array(version: int = 3, data: np.ndarray = A, attributes: dict[str, Any] | None = None, **options: Any) -> Write:
    def make(folder: Path) -> str:
        made = zarr.create_array(str(folder / "a.zarr"), data=data, zarr_format=version, **options)
        made.attrs.update(attributes or {})
        return "a.zarr"

    return make


def axes_of(order: str, unit: str | None = "nanometer") -> list[dict[str, str]]:
    kinds = {"t": {"type": "time"}, "c": {"type": "channel"}}
    space = {"type": "space", **({"unit": unit} if unit else {})}
    return [{"name": axis, **kinds.get(axis, space)} for axis in order]


def scale_of(order: str, factor: float = 1.0) -> dict[str, Any]:
    sizes = dict(zip("zyx", SIZE_NM, strict=True))
    return {"type": "scale", "scale": [sizes.get(axis, factor) / factor for axis in order]}


def image(
    order: str = "zyx",
    version: str = "0.5",
    below: str = "",
    *,
    unit: str | None = "nanometer",
    factor: float = 1.0,
    **entry: Any,
) -> Write:
    """An OME-Zarr image; entry replaces parts of its multiscales."""

    def make(folder: Path) -> str:
        is_new = version >= "0.5"
        group = zarr.open_group(str(folder / "a.zarr"), mode="a", zarr_format=3 if is_new else 2)
        if below:
            group = group.create_group(below)
        group.create_array("s0", data=in_order(order), chunks=tuple(min(n, 16) for n in in_order(order).shape))
        group.create_array("s1", data=in_order(order, A[:, ::2, ::2]))
        first = [scale_of(order, factor)]
        second = [first[0], {"type": "scale", "scale": [{"y": 2.0, "x": 2.0}.get(axis, 1.0) for axis in order]}]
        datasets = [{"path": f"s{n}", "coordinateTransformations": steps} for n, steps in enumerate((first, second))]
        listed: dict[str, Any] = {"axes": axes_of(order, unit), "datasets": datasets} | entry
        if version < "0.3":
            del listed["axes"]
        known = {name: value for name, value in listed.items() if value is not None}
        if is_new:
            group.attrs["ome"] = {"version": version, "multiscales": [known]}
        else:
            group.attrs["multiscales"] = [{"version": version, **known}]
        return "a.zarr"

    return make


def draft(order: str, *steps: dict[str, Any], **output: Any) -> Write:
    """RFC-5: the axes are those of the coordinate system to which a level leads."""
    target = {"input": {"path": "s0"}, "output": {"name": "physical"}} | output
    transformations = [{**step, **target} for step in steps or (scale_of(order),)]
    datasets = [{"path": "s0", "coordinateTransformations": transformations}]
    systems = [{"name": "other", "axes": axes_of(order[::-1])}, {"name": "physical", "axes": axes_of(order)}]
    return image(order, "0.6.dev3", axes=None, coordinateSystems=systems, datasets=datasets)


def several(count: int, series: bool = True) -> Write:
    """bioformats2raw's layout: images 0, 1, ... and a group that lists them."""

    def make(folder: Path) -> str:
        root = zarr.open_group(str(folder / "a.zarr"), mode="w")
        root.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
        for n in range(count):
            image(below=str(n))(folder)
        if series:
            root.create_group("OME").attrs["ome"] = {"version": "0.5", "series": [str(n) for n in range(count)]}
        return "a.zarr"

    return make


def edited(write: Write, change: Callable[[dict[str, Any]], None], file: str = "zarr.json") -> Write:
    def make(folder: Path) -> str:
        location = write(folder)
        path = folder / location / file
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
        return location

    return make


def beside(key: str, attributes: dict[str, Any], write: Write) -> Write:
    """A group of several, as its attributes list them."""

    def make(folder: Path) -> str:
        root = zarr.open_group(str(folder / "a.zarr"), mode="w")
        root.attrs["ome"] = {"version": "0.5", key: attributes}
        return write(folder)

    return make


def as_zip(name: str, write: Write) -> Write:
    def make(folder: Path) -> str:
        root = folder / write(folder)
        with zipfile.ZipFile(folder / name, "w") as file:
            for path in sorted(root.rglob("*")):
                file.write(path, path.relative_to(root))
        return name

    return make


for version in (2, 3):
    holds(f"Zarr {version}", A, array(version))
for order in ("xyz", "zxy", "yxz", "zyx", "xyzc"):
    holds(f"Zarr 3, dimension_names {order}", A, array(3, in_order(order), dimension_names=list(order)))
    holds(f"Zarr 2, xarray's {order}", A, array(2, in_order(order), {"_ARRAY_DIMENSIONS": list(order)}))
refused("Zarr, names of time and space", "three axes", array(3, A, dimension_names=["t", "y", "x"]))
refused(
    "Zarr 3, an unknown codec", "compressed by odd", edited(array(), lambda it: it["codecs"].append({"name": "odd"}))
)
refused(
    "Zarr 2, an unknown codec",
    "compressed by odd",
    edited(array(2), lambda it: it.update(compressor={"id": "odd"}), ".zarray"),
)
for version in ("0.4", "0.5", "0.5.2"):
    for order in ("zyx", "xyz", "tczyx", "tcxyz", "yxzc"):
        holds(f"OME-Zarr {version}, {order}", A, image(order, version), SIZE_NM)
    holds(f"OME-Zarr {version}, its array", A, at("s0", image("xyz", version)), SIZE_NM)
    holds(f"OME-Zarr {version}, a coarser level", A[:, ::2, ::2], at("s1", image("xyz", version)), (10, 10, 8))
for version in ("0.1", "0.2"):
    holds(f"OME-Zarr {version}", A, image("tczyx", version))
holds("OME-Zarr 0.3", A, image("zyx", "0.3", axes=["z", "y", "x"], datasets=[{"path": "s0"}]))
for unit, factor in (("um", 1e3), ("micrometer", 1e3), ("µm", 1e3), ("angstrom", 0.1), ("nm", 1.0)):
    holds(f"OME-Zarr in {unit}", A, image(unit=unit, factor=factor), SIZE_NM)
holds("OME-Zarr without a unit", A, image(unit=None))
holds("OME-Zarr in an unknown unit", A, image(unit="parsec"), note="parsec")
holds("OME-Zarr without scales", A, image(datasets=[{"path": "s0"}]))
holds(
    "OME-Zarr, a scale of zero",
    A,
    image(datasets=[{"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": [0, 5, 4]}]}]),
    note="no size",
)
holds(
    "OME-Zarr, a scale of two numbers",
    A,
    image(datasets=[{"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": [5, 4]}]}]),
    note="malformed",
)
refused(
    "OME-Zarr, an unknown transformation",
    "'warp' is not read",
    image(datasets=[{"path": "s0", "coordinateTransformations": [{"type": "warp"}]}]),
)
refused("OME-Zarr of an unknown version", r"version 0\.9 is not known", image(version="0.9"))
refused("OME-Zarr, its array, of an unknown version", r"version 0\.9", at("s0", image(version="0.9")))
refused("OME-Zarr, an axis twice", "name those of space", image(axes=axes_of("zyy")))
refused(
    "OME-Zarr, other names of axes",
    "several entries along depth",
    image(axes=[{"name": n, "type": "space"} for n in ("depth", "y", "x")]),
)
refused("OME-Zarr, two axes for three", "dimensions, but 2 axes", image(axes=axes_of("yx")))
for order in ("zyx", "xyz", "tczyx"):
    holds(f"OME-Zarr 0.6, {order}", A, draft(order), SIZE_NM)
holds("OME-Zarr 0.6, names alone", A, draft("xyz", input="s0", output="physical"), SIZE_NM)
sequence = {"type": "sequence", "transformations": [scale_of("xyz"), {"type": "translation", "translation": [1, 2, 3]}]}
holds("OME-Zarr 0.6, a sequence", A, draft("xyz", sequence), SIZE_NM)
holds("OME-Zarr 0.6, its array", A, at("s0", draft("xyz")), SIZE_NM)
for kind in ("affine", "rotation", "mapAxis", "byDimension", "displacements"):
    refused(f"OME-Zarr 0.6, {kind}", f"'{kind}' is not read", draft("xyz", {"type": kind}))
refused("OME-Zarr 0.6, an unknown system", "no coordinate system", draft("xyz", output={"name": "nowhere"}))
holds("bioformats2raw, one image", A, several(1), SIZE_NM)
holds("bioformats2raw, one image that is not listed", A, several(1, series=False), SIZE_NM)
refused("bioformats2raw, two images", "several images; name one, as in a.zarr:/0: 0, 1", several(2))
holds("bioformats2raw, one of two", A, at("1", several(2)), SIZE_NM)
refused(
    "a plate",
    "several images.*: A/1/0, A/2/0",
    beside("plate", {"wells": [{"path": "A/1"}, {"path": "A/2"}]}, image(below="A/1/0")),
)
holds("a well of one field", A, beside("well", {"images": [{"path": "0"}]}, image(below="0")), SIZE_NM)
refused("a Zarr group of two arrays", "add one array: a, b", lambda folder: plain_group(folder))
for name in ("a.zip", "a.zarr.zip", "a.ozx"):
    holds(f"OME-Zarr in {name}", A, as_zip(name, image("xyz")), SIZE_NM)


def plain_group(folder: Path) -> str:
    group = zarr.create_group(str(folder / "a.zarr"))
    group.create_array("a", data=A)
    group.create_array("b", data=A)
    return "a.zarr"


# --- HDF5 whose voxels lie in other files


def hdf5_with(voxels_of: Callable[[h5py.File, Path], object]) -> Write:
    """Its dataset by this, beside two files that hold three slices each, and one of bytes alone."""

    def make(folder: Path) -> str:
        for n in range(2):
            with h5py.File(folder / f"part{n}.h5", "w") as part:
                part["v"] = A[3 * n : 3 * n + 3]
        A.tofile(folder / "a.raw")
        with h5py.File(folder / "a.h5", "w") as file:
            voxels_of(file, folder)
        return "a.h5:/v"

    return make


def external_bytes(file: h5py.File, folder: Path) -> None:
    file.create_dataset("v", A.shape, "u1", external=[(str(folder / "a.raw"), 0, A.size)])


def virtual(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout(A.shape, "u1")
    for n in range(2):
        layout[3 * n : 3 * n + 3] = h5py.VirtualSource(f"part{n}.h5", "v", (3, 24, 40))
    file.create_virtual_dataset("v", layout)


def numbered(file: h5py.File, folder: Path) -> None:
    """Sources that are counted by their names."""
    shape = h5py.h5s.create_simple(A.shape, (h5py.h5s.UNLIMITED, 24, 40))
    shape.select_hyperslab((0, 0, 0), (h5py.h5s.UNLIMITED, 1, 1), (3, 24, 40), (3, 24, 40))
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_virtual(shape, b"part%b.h5", b"v", h5py.h5s.create_simple((3, 24, 40)))
    h5py.h5d.create(
        file.id, b"v", h5py.h5t.NATIVE_UINT8, h5py.h5s.create_simple(A.shape, shape.get_simple_extent_dims(True)), plist
    )


def by_tags(file: h5py.File, folder: Path) -> None:
    """As ilastik has it: x first, a channel last."""
    file["v"] = A.T[..., None]
    file["v"].attrs["element_size_um"] = [nm / 1e3 for nm in SIZE_NM[::-1]]
    file["v"].attrs["axistags"] = json.dumps({"axes": [{"key": key} for key in "xyzc"]})


holds("HDF5, tags xyzc and element_size_um", A, hdf5_with(by_tags), SIZE_NM)
holds("HDF5, its voxels in a file of bytes", A, hdf5_with(external_bytes), references=True)
holds("HDF5, its voxels in other datasets", A, hdf5_with(virtual), references=True)
holds("HDF5, its voxels in counted files", A, hdf5_with(numbered), references=True)
holds(
    "HDF5, its dataset in another file",
    A[:3],
    hdf5_with(lambda file, _: file.update(v=h5py.ExternalLink("part0.h5", "v"))),
    references=True,
)


# --- NRRD, NIfTI


def nrrd(
    data: np.ndarray = A, header: dict[str, Any] | None = None, name: str = "a.nrrd", order: str = "zyx", **how: Any
) -> Write:
    """By pynrrd, whose index is that of the file: the fastest axis last."""

    def make(folder: Path) -> str:
        stored = in_order(order, data) if data.ndim == 3 else data
        pynrrd.write(str(folder / name), stored, header or {}, index_order="C", **how)
        return name

    return make


def directions_of(order: str, sign: float = 1.0) -> dict[str, Any]:
    """For dimensions in this order, the slowest first; the header has the fastest first."""
    sizes = dict(zip("zyx", SIZE_NM, strict=True))
    rows = [[sign * sizes[axis] * (axis == other) for other in "xyz"] for axis in reversed(order)]
    return {"space": "left-posterior-superior", "space directions": np.array(rows), "space units": ["nm"] * 3}


for encoding in ("raw", "gzip", "bzip2"):
    holds(f"NRRD, {encoding}", A, nrrd(header={"encoding": encoding}))
for dtype in ("i1", "u2", ">i2", "i4", "u4", "i8", "u8", "f4", ">f8"):
    holds(f"NRRD of {dtype}", (A >> 1).astype(dtype), nrrd((A >> 1).astype(dtype)), labels=dtype[-2] != "f")
for order in ("zyx", "xyz", "yzx", "zxy"):
    holds(f"NRRD, directions {order}", A, nrrd(header=directions_of(order), order=order), SIZE_NM)
holds("NRRD, directions with signs", A, nrrd(header=directions_of("zyx", -1.0)), SIZE_NM)
holds("NRRD, spacings", A, nrrd(header={"spacings": SIZE_NM[::-1], "units": ["nm"] * 3}), SIZE_NM)
holds(
    "NRRD, spacings in microns",
    A,
    nrrd(header={"spacings": np.divide(SIZE_NM[::-1], 1e3), "units": ["microns"] * 3}),
    SIZE_NM,
)
holds("NRRD, spacings without units", A, nrrd(header={"spacings": SIZE_NM[::-1]}))
holds("NRRD, no space at all", A, nrrd())
refused(
    "NRRD, turned",
    "turned in space",
    nrrd(header={**directions_of("zyx"), "space directions": [[3, 3, 0], [-3, 3, 0], [0, 0, 9]]}),
)
refused(
    "NRRD, colours",
    "three axes",
    nrrd(np.stack([A] * 3, -1), {"kinds": ["RGB-color", "domain", "domain", "domain"]}, order=""),
)
refused("NRRD, as text", "save it as raw or gzip", nrrd(header={"encoding": "ascii"}))
refused("NRRD, cut off", "truncated", lambda folder: cut(folder, nrrd(header={"encoding": "raw"})))
refused(
    "NRRD, packed and cut off",
    "truncated|cannot be read",
    lambda folder: cut(folder, nrrd(header={"encoding": "gzip"})),
)
holds("NRRD, its voxels beside it", A, nrrd(name="a.nhdr", detached_header=True), references=True)
refused(
    "NRRD, no voxels beside it",
    "missing|another file",
    lambda folder: alone(folder, nrrd(name="a.nhdr", detached_header=True)),
)


def alone(folder: Path, write: Write) -> str:
    """Without the files beside it."""
    location = write(folder)
    for path in folder.iterdir():
        if path.name != location:
            path.unlink()
    return location


def nifti(
    data: np.ndarray = A,
    order: str = "zyx",
    name: str = "a.nii",
    unit: str = "mm",
    factor: float = 1e6,
    kind: Any = nibabel.Nifti1Image,
    **more: Any,
) -> Write:
    """By nibabel, whose first axis is the fastest; axes in space as the order says, the slowest first."""

    def make(folder: Path) -> str:
        sizes = dict(zip("zyx", np.divide(SIZE_NM, factor), strict=True))
        affine = np.eye(4)
        affine[:3, :3] = np.array([[sizes[axis] * (axis == other) for axis in reversed(order)] for other in "xyz"])
        made = kind(in_order(order, data).T, affine, dtype=data.dtype)
        made.header.set_xyzt_units(xyz=unit)
        for field, value in more.items():
            made.header[field] = value
        nibabel.save(made, folder / name)
        return name

    return make


for order in ("zyx", "xyz", "zxy"):
    holds(f"NIfTI, {order}", A, nifti(order=order), SIZE_NM)
holds("NIfTI, gzipped", A, nifti(name="a.nii.gz"), SIZE_NM)
holds("NIfTI-2", A, nifti(kind=nibabel.Nifti2Image), SIZE_NM)
holds("NIfTI in microns", A, nifti(unit="micron", factor=1e3), SIZE_NM)
holds("NIfTI without a unit", A, nifti(unit="unknown"))
for dtype in ("i2", "u2", "f4"):
    holds(f"NIfTI of {dtype}", A.astype(dtype), nifti(A.astype(dtype)), SIZE_NM)
holds("NIfTI of labels of 64 bits", L.astype("u8") + 2**60, nifti(L.astype("u8") + 2**60), SIZE_NM, labels=True)
scaled = with_bytes(112, struct.pack("<ff", 0.5, 10), nifti(A.astype("i2")))
holds("NIfTI, scaled values", A.astype("f4") / 2 + 10, scaled, SIZE_NM)
holds("NIfTI, no direction", A, with_bytes(252, struct.pack("<hh", 0, 0), nifti(order="zyx")), SIZE_NM)
holds("NIfTI of ITK, whose millimetres are nothing", A, nifti(factor=1.0), note="far more")
refused("NIfTI, cut off", "truncated", lambda folder: cut(folder, nifti()))
refused("NIfTI, gzipped and cut off", "truncated|cannot be read", lambda folder: cut(folder, nifti(name="a.nii.gz")))
refused("NIfTI, a pair's header", "save a pair", with_bytes(344, b"ni1\0", nifti()))
refused("NIfTI, turned", "turned", with_bytes(280, struct.pack("<8f", 3, 3, 0, 0, -3, 3, 0, 0), nifti()))


# --- N5, Neuroglancer's precomputed volumes


def n5(
    data: np.ndarray = A,
    path: str = "v/s0",
    group: dict[str, Any] | None = None,
    compression: str = "gzip",
    chunk: int = 16,
    **attributes: Any,
) -> Write:
    """By tensorstore; the location is that of the container."""

    def make(folder: Path) -> str:
        metadata = {
            "dimensions": data.shape[::-1],
            "blockSize": [chunk, 16, 4][: data.ndim],
            "dataType": str(data.dtype),
        }
        store = {"driver": "file", "path": str(folder / "a.n5" / path)}
        spec = {"driver": "n5", "kvstore": store, "metadata": {**metadata, "compression": {"type": compression}}}
        tensorstore.open(spec, create=True).result().write(data.T).result()
        (folder / "a.n5" / "attributes.json").write_text('{"n5": "2.0.0"}')
        (folder / "a.n5" / path).with_name("attributes.json").write_text(json.dumps(group or {}))
        file = folder / "a.n5" / path / "attributes.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **attributes}))
        return "a.n5"

    return make


pixel = {"unit": "nm", "dimensions": list(SIZE_NM[::-1])}
for compression in ("gzip", "raw", "bzip2", "xz"):
    how = {"compression": compression}
    holds(f"N5, {compression}", A, at("v/s0", n5(**how)))
for dtype in ("u2", "i2", "f4"):
    holds(f"N5 of {dtype}", A.astype(dtype), at("v/s0", n5(A.astype(dtype))))
holds("N5, ids of 64 bits", L.astype("u8") + 2**63, at("v/s0", n5(L.astype("u8") + 2**63)), labels=True)
holds("N5, its group", A, at("v", n5()))
holds("N5, a folder", A, lambda folder: f"{n5()(folder)}/v/s0")
holds("N5, pixelResolution", A, at("v/s0", n5(pixelResolution=pixel)), SIZE_NM)
holds("N5, pixelResolution of its group", A, at("v/s0", n5(group={"pixelResolution": pixel})), SIZE_NM)
holds(
    "N5, a coarser level",
    A,
    at("v/s1", n5(path="v/s1", group={"pixelResolution": pixel}, downsamplingFactors=[2, 2, 1])),
    (10, 10, 8),
)
scales = {"pixelResolution": pixel, "scales": [[1, 1, 1], [2, 2, 1]]}
holds("N5, a coarser level whose group lists factors", A, at("v/s1", n5(path="v/s1", group=scales)), (10, 10, 8))
holds(
    "N5, a coarser level of which nobody says how coarse",
    A,
    at("v/s1", n5(path="v/s1", group={"pixelResolution": pixel})),
)
holds(
    "N5, a coarser level with a size of which it is not said whose",
    A,
    at("v/s1", n5(path="v/s1", pixelResolution=pixel, downsamplingFactors=[2, 2, 1])),
)
cosem = {"axes": ["z", "y", "x"], "scale": SIZE_NM, "translate": [0, 0, 0], "units": ["nm"] * 3}
holds("N5, transform of COSEM", A, at("v/s0", n5(transform=cosem)), SIZE_NM)
listed = {"multiscales": [{"datasets": [{"path": "s0", "transform": cosem}]}]}
holds("N5, transform of COSEM that its group lists", A, at("v/s0", n5(group=listed)), SIZE_NM)
holds("N5, resolution and units", A, at("v/s0", n5(resolution=SIZE_NM[::-1], units=["nm"] * 3)), SIZE_NM)
holds("N5, axes by name", A.transpose(0, 2, 1), at("v/s0", n5(axes=["y", "x", "z"])))
refused("N5, a container", "name one dataset", n5())


def precomputed(
    data: np.ndarray = A, encoding: str = "raw", offset: Sequence[int] = (0, 0, 0), sharded: bool = False
) -> Write:
    def make(folder: Path) -> str:
        kind = "segmentation" if encoding == "compressed_segmentation" else "image"
        scale: dict[str, Any] = {
            "size": data.shape[::-1],
            "resolution": SIZE_NM[::-1],
            "voxel_offset": offset,
            "chunk_size": [16, 16, 4],
            "encoding": encoding,
        }
        if encoding == "compressed_segmentation":
            scale["compressed_segmentation_block_size"] = [8, 8, 8]
        if sharded:
            hashes = {"preshift_bits": 1, "minishard_bits": 1, "shard_bits": 1, "hash": "identity"}
            scale["sharding"] = {"@type": "neuroglancer_uint64_sharded_v1", **hashes}
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": str(folder / "a")},
            "multiscale_metadata": {"type": kind, "data_type": str(data.dtype), "num_channels": 1},
            "scale_metadata": scale,
        }
        tensorstore.open(spec, create=True).result().write(data.T[..., None]).result()
        return "a"

    return make


def below_s0(write: Write, inner: str = "") -> Write:
    """The folder of a dataset or of its group, and not the container."""
    return lambda folder: f"{write(folder)}/v{inner}"


holds("precomputed", A, precomputed(), SIZE_NM)
holds("precomputed, moved", A, precomputed(offset=(100, 200, 300)), SIZE_NM)
holds("precomputed, sharded", A, precomputed(sharded=True), SIZE_NM)
ids = L.astype("u8") + 2**60
holds("precomputed segments", ids, precomputed(ids, "compressed_segmentation"), SIZE_NM, labels=True)
holds(
    "precomputed segments, sharded",
    ids,
    precomputed(ids, "compressed_segmentation", sharded=True),
    SIZE_NM,
    labels=True,
)
holds("precomputed in a zip", A, as_zip("a.zip", precomputed()), SIZE_NM)
holds("N5 in a zip, its group", A, as_zip("a.zip", below_s0(n5(group={"pixelResolution": pixel}))), SIZE_NM)


def without_group(write: Write) -> Write:
    """A level as it is packed with its own folder."""

    def make(folder: Path) -> str:
        location = write(folder)
        (folder / location / "attributes.json").unlink()
        return location

    return make


holds("N5 in a zip, a level in its folder", A, as_zip("a.zip", without_group(below_s0(n5()))))
holds("N5 in a zip, one row of chunks", A, as_zip("a.zip", below_s0(n5(chunk=64), "/s0")))


def as_cloud_volume(write: Write, ending: str = "gz") -> Write:
    """Chunks as cloud-volume 12 writes them to files, unless it is told not to: packed, with an ending."""

    def make(folder: Path) -> str:
        name = write(folder)
        for chunk in [path for path in (folder / name).rglob("*-*_*") if path.is_file()]:
            chunk.with_name(f"{chunk.name}.{ending}").write_bytes(gzip.compress(chunk.read_bytes()))
            chunk.unlink()
        return name

    return make


holds("precomputed of packed chunks", A, as_cloud_volume(precomputed()), SIZE_NM)
holds("precomputed of packed chunks, in a zip", A, as_zip("a.zip", as_cloud_volume(precomputed())), SIZE_NM)
refused("precomputed of chunks packed by Brotli", "packed by br", as_cloud_volume(precomputed(), "br"))
holds("precomputed, by its key", A, at("4_5_10", precomputed()), SIZE_NM)
refused("precomputed, another key", "it has 4_5_10", at("8_10_10", precomputed()))


# --- Gatan


def gatan(version: int, data: np.ndarray = A, unit: str = "nm") -> Write:
    def make(folder: Path) -> str:
        (folder / f"a.dm{version}").write_bytes(gatan_content(version, data, unit))
        return f"a.dm{version}"

    return make


for version in (3, 4):
    for dtype in ("u1", "u2", "i2", "f4"):
        holds(f"Gatan DM{version} of {dtype}", A.astype(dtype), gatan(version, A.astype(dtype)), VOXEL_SIZE_NM)
    dm_slice = lambda path, page: path.write_bytes(gatan_content(int(path.suffix[-1]), page))  # noqa: E731
    holds(f"slices of Gatan DM{version}", A, slices(f"SBEM_{{n:04}}.dm{version}", A, dm_slice))
    refused(f"Gatan DM{version}, cut off", "truncated", lambda folder, v=version: cut(folder, gatan(v)))
holds("Gatan DM4 without a unit", A, gatan(4, unit=""))


# --- NumPy


def npy(data: np.ndarray) -> Write:
    def make(folder: Path) -> str:
        np.save(folder / "a.npy", data)
        return "a.npy"

    return make


for shape in ((1, 6, 24, 40), (6, 24, 40, 1), (1, 1, 6, 24, 40), (1, 6, 24, 40, 1)):
    holds(f"NumPy {shape}", A, npy(A.reshape(shape)))
holds("NumPy, one slice with a channel", A[:1], npy(A[:1, ..., None]))
holds("NumPy, one slice of two dimensions", A[:1], npy(A[0]))
holds("NumPy, big-endian", A.astype("f4"), npy(A.astype(">f4")))
holds("NumPy, truth values", L == 2, npy(L == 2), labels=True)
refused("NumPy, two channels", "three axes", npy(np.stack([A, A], -1)))
refused("NumPy, in Fortran's order", "C order", npy(np.asfortranarray(A)))
refused("NumPy, cut off", "truncated", lambda folder: cut(folder, npy(A)))


# --- webKnossos


def wkw(
    data: np.ndarray = A,
    first: Sequence[int] = (3, 9, 21),
    kind: int = 2,
    layers: Sequence[str] = ("color",),
    magnification: Any = (1, 1, 1),
    scale: Any = None,
    **others: Any,
) -> Write:
    """By the specification: cubes of 32 voxels, in blocks of 16; beyond its box a layer holds 77.

    first: z, y, x. magnification: as it is stated, x, y, z. others: of the properties of a layer.
    """

    def make(folder: Path) -> str:
        stops = [start + side for start, side in zip(first, data.shape, strict=True)]
        whole = np.full([-(-stop // 32) * 32 for stop in stops], 77, data.dtype)
        whole[tuple(slice(*ends) for ends in zip(first, stops, strict=True))] = data
        for layer in layers:
            write_cubes(folder / "ds" / layer / "1", whole, kind)
        box = {"topLeft": list(first[::-1]), **dict(zip(("depth", "height", "width"), data.shape, strict=True))}
        mags = {"mags": [{"mag": magnification, "path": f"./{layers[0]}/1"}]}
        listed = [{"name": layer, "dataFormat": "wkw", "boundingBox": box, **mags, **others} for layer in layers]
        properties = {"scale": scale or list(SIZE_NM[::-1]), "dataLayers": listed}
        (folder / "ds/datasource-properties.json").write_text(json.dumps(properties))
        return "ds"

    return make


def write_cubes(folder: Path, data: np.ndarray, kind: int, side: int = 16) -> None:
    folder.mkdir(parents=True)
    number = ["u1", "u2", "u4", "u8", "f4", "f8", "i1", "i2", "i4", "i8"].index(data.dtype.str[1:]) + 1
    head = b"WKW" + bytes([1, 1 << 4 | side.bit_length() - 1, kind, number, data.itemsize])
    (folder / "header.wkw").write_bytes(head + struct.pack("<Q", 0))
    for z, y, x in np.ndindex(*(length // (2 * side) for length in data.shape)):
        cube = data[tuple(slice(2 * side * at, 2 * side * (at + 1)) for at in (z, y, x))]
        places = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1)]
        blocks = [cube[tuple(slice(side * at, side * (at + 1)) for at in place)].tobytes() for place in places]
        table = b""
        if kind != 1:
            blocks = [bytes(imagecodecs.lz4_encode(block)) for block in blocks]
            ends = 16 + 8 * len(blocks) + np.cumsum([len(block) for block in blocks])
            table = ends.astype("<u8").tobytes()
        file = folder / f"z{z}/y{y}/x{x}.wkw"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(head + struct.pack("<Q", 16 + len(table)) + table + b"".join(blocks))


def without_properties(write: Write, inner: str) -> Write:
    def make(folder: Path) -> str:
        write(folder)
        (folder / "ds/datasource-properties.json").unlink()
        return f"ds{inner}"

    return make


for kind, name in ((1, "raw"), (2, "LZ4"), (3, "LZ4HC")):
    holds(f"WKW, {name}", A, wkw(kind=kind), SIZE_NM)
for dtype in ("u2", "u4", "i1", "i2", "f4", "f8"):
    holds(f"WKW of {dtype}", A.astype(dtype), wkw(A.astype(dtype)), SIZE_NM)
holds("WKW, ids of 64 bits", L.astype("u8") + 2**63, wkw(L.astype("u8") + 2**63), SIZE_NM, labels=True)
holds("WKW, at the corner", A, wkw(first=(0, 0, 0)), SIZE_NM)
holds("WKW, a layer by its name", A, at("color", wkw(layers=("color", "segmentation"))), SIZE_NM)
holds("WKW, a magnification by its name", A, at("color/1", wkw()), SIZE_NM)
holds("WKW, a unit", A, wkw(scale={"factor": [0.005, 0.005, 0.01], "unit": "micrometer"}), (10, 5, 5))
holds("WKW, of angstrom", A, wkw(scale={"factor": [50, 50, 100], "unit": "angstrom"}), (10, 5, 5))
holds("WKW, a unit that is no length", A, wkw(scale={"factor": [5, 5, 10], "unit": "parsec"}))
holds(
    "WKW, of a version before",
    A,
    wkw(mags=None, wkwResolutions=[{"resolution": 1, "cubeLength": 32}]),
    SIZE_NM,
)
holds(
    "WKW, a coarser magnification alone",
    A,
    wkw(
        magnification=[4, 4, 2],
        boundingBox={"topLeft": [84, 36, 6], "width": 4 * A.shape[2] - 3, "height": 4 * A.shape[1], "depth": 12},
    ),
    (2 * SIZE_NM[0], 4 * SIZE_NM[1], 4 * SIZE_NM[2]),
)
holds("WKW in a zip", A, as_zip("a.zip", wkw()), SIZE_NM)
refused("WKW, two layers", "name one layer", wkw(layers=("color", "segmentation")))
refused("WKW, a magnification that is not there", "it has color/1", at("color/2", wkw()))
refused("WKW, a magnification elsewhere", "outside", wkw(mags=[{"mag": [1, 1, 1], "path": "../other/1"}]))
refused("WKW, a cube alone", "name the folder", lambda folder: f"{wkw()(folder)}/color/1/z0/y0/x0.wkw")
for inner in ("", "/color", "/color/1"):
    refused(f"WKW without its properties, ds{inner}", "where the volume ends", without_properties(wkw(), inner))


def with_cube(change: Callable[[bytes], bytes], write: Write) -> Write:
    def make(folder: Path) -> str:
        location = write(folder)
        file = folder / "ds/color/1/z0/y0/x0.wkw"
        file.write_bytes(change(file.read_bytes()))
        return location

    return make


refused("WKW, a cube cut off", "truncated", with_cube(lambda content: content[:900], wkw(kind=1)))
refused("WKW, a packed cube cut off", "truncated|cannot be read", with_cube(lambda content: content[:900], wkw()))
refused("WKW, a cube of another type", "stored otherwise", with_cube(lambda c: c[:6] + b"\2\2" + c[8:], wkw()))
refused("WKW, three channels", "several channels", with_cube(lambda c: c[:7] + b"\3" + c[8:], wkw()))
