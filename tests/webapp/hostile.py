"""Sixty-odd kinds of files that strangers could mean harm with; the content of all is small and harmless.

Run as ``python hostile.py FOLDER`` it uploads each to an application's store, has it looked at, and prints a line of
JSON: what the user is told, and what it took. References name a canary file in the folder, which nobody may open.
"""

from __future__ import annotations

import io
import json
import resource
import stat
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import tifffile
from webapp_support import look, png, slices, uploaded, zipped

from pipeline.errors import InputError
from pipeline.webapp.settings import Settings

GREY = np.random.default_rng(0).integers(0, 256, (3, 40, 56), np.uint8)
CANARY = "canary"
Make = Callable[[Path], bytes]


def hdf5(write: Callable[[h5py.File, str], object]) -> Make:
    def make(folder: Path) -> bytes:
        file = io.BytesIO()
        with h5py.File(file, "w") as content:
            write(content, str(folder / CANARY))
        return file.getvalue()

    return make


def virtual(content: h5py.File, name: str) -> None:
    layout = h5py.VirtualLayout((3, 8, 8), "uint8")
    layout[:] = h5py.VirtualSource(name, "volume", (3, 8, 8))
    content.create_virtual_dataset("volume", layout)


def external_link(content: h5py.File, name: str) -> None:
    content["volume"] = h5py.ExternalLink(name, "/volume")


def link_in_a_group(content: h5py.File, name: str) -> None:
    content["grey"] = GREY
    content["a/b/c"] = h5py.ExternalLink(name, "/volume")
    content["soft"] = h5py.SoftLink("/a/b/c")


def external(content: h5py.File, name: str) -> None:
    content.create_dataset("volume", (3, 8, 8), "uint8", external=[(name, 0, 192)])


def mixed(content: h5py.File, name: str) -> None:
    """Harmless voxels first; the larger dataset lies elsewhere."""
    content["a"] = GREY
    content.create_dataset("b", (30, 80, 80), "uint8", external=[(name, 0, 30 * 6400)])


def ome(body: str, head: str = "") -> Make:
    def make(folder: Path) -> bytes:
        canary = str(folder / CANARY)
        xml = f"""{head}<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">
        <Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="56" SizeY="40" SizeZ="{{z}}" SizeC="1"
        SizeT="1">
        <Channel ID="Channel:0:0" SamplesPerPixel="1"/>{body}</Pixels></Image></OME>"""
        xml = xml.replace("{z}", "1000000000" if "{z}" in body else "1").replace("{canary}", canary)
        file = io.BytesIO()
        tifffile.imwrite(file, GREY[0], photometric="minisblack", description=xml.encode(), metadata=None)
        return file.getvalue()

    return make


def named_plane(name: str) -> Make:
    return ome(f'<TiffData FirstZ="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:0</UUID></TiffData>')


def imagej_of_many(_: Path) -> bytes:
    file = io.BytesIO()
    description = "ImageJ=1.53t\nimages=1000000000\nslices=1000000000\n"
    tifffile.imwrite(file, GREY[0], photometric="minisblack", description=description, metadata=None)
    return file.getvalue()


def tags(entries: dict[int, tuple[int, int]], following: int = 0, voxels: bytes = b"") -> Make:
    """A little-endian TIFF of one directory at byte 8; values of one number, types 3 and 4."""

    def make(_: Path) -> bytes:
        directory = struct.pack("<H", len(entries))
        for tag, (kind, value) in sorted(entries.items()):
            directory += struct.pack("<HHII", tag, kind, 1, value)
        directory += struct.pack("<I", following)
        return b"II*\0\x08\0\0\0" + directory + voxels

    return make


def claiming(width: int, height: int, compression: int, **more: tuple[int, int]) -> dict[int, tuple[int, int]]:
    entries = {256: (4, width), 257: (4, height), 258: (3, 8), 259: (3, compression), 262: (3, 1), 277: (3, 1)}
    entries |= {273: (4, 8), 278: (4, height), 279: (4, 100)}
    return entries | {int(tag[1:]): value for tag, value in more.items()}


def two_pages_in_a_circle(_: Path) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, GREY, photometric="minisblack", metadata=None, contiguous=False)
    content = bytearray(file.getvalue())
    (first,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, first)
    (second,) = struct.unpack_from("<I", content, first + 2 + 12 * count)
    (count,) = struct.unpack_from("<H", content, second)
    struct.pack_into("<I", content, second + 2 + 12 * count, first)
    return bytes(content)


def bigtiff_of_many_tags(_: Path) -> bytes:
    return b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**60) + bytes(100)


def mrc(**fields: int) -> Make:
    places = {"nx": 0, "ny": 4, "nz": 8, "mode": 12, "nsymbt": 92}

    def make(_: Path) -> bytes:
        header = bytearray(1024)
        header[208:216] = b"MAP DD\0\0"
        for name, value in ({"nx": 56, "ny": 40, "nz": 3, "mode": 6, "nsymbt": 0} | fields).items():
            struct.pack_into("<i", header, places[name], value)
        return bytes(header) + GREY.astype("<u2").tobytes()

    return make


def npy(header: str, version: int = 1, length: int | None = None) -> Make:
    def make(_: Path) -> bytes:
        text = header.encode() + b"\n"
        size = struct.pack("<H" if version == 1 else "<I", len(text) if length is None else length)
        return b"\x93NUMPY" + bytes([version, 0]) + size + text + GREY.tobytes()

    return make


def npz(_: Path) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, raw=GREY)
    return file.getvalue()


def lying_png(rows: int, columns: int) -> bytes:
    content = bytearray(png(GREY[0]))
    content[16:24] = struct.pack(">II", columns, rows)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def entry(name: str, content: bytes = b"x", **attributes: int) -> Make:
    def make(folder: Path) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            info = zipfile.ZipInfo(name)
            for attribute, value in attributes.items():
                setattr(info, attribute, value)
            archive.writestr(info, content)
        return file.getvalue().replace(b"{canary}", str(folder / CANARY).encode())

    return make


def inside(name: str, make: Make) -> Make:
    return lambda folder: zipped({name: make(folder)})


def zarr2(array: str, group: str = "", name: str = "v.zarr") -> Make:
    def make(folder: Path) -> bytes:
        files = {f"{name}/.zarray": array.encode(), f"{name}/0.0.0": GREY.tobytes()}
        if group:
            files = {f"{name}/.zgroup": b'{"zarr_format": 2}', f"{name}/.zattrs": group.encode()}
        return zipped({key: value.replace(b"{canary}", str(folder / CANARY).encode()) for key, value in files.items()})

    return make


def array2(shape: str = "[3,40,56]", chunks: str = "[3,40,56]", dtype: str = '"|u1"', more: str = "null") -> str:
    return (
        f'{{"zarr_format": 2, "shape": {shape}, "chunks": {chunks}, "dtype": {dtype}, "compressor": {more}, '
        '"fill_value": 0, "order": "C", "filters": null}'
    )


def multiscale(path: str) -> str:
    axes = ", ".join(f'{{"name": "{axis}", "type": "space"}}' for axis in "zyx")
    return f'{{"multiscales": [{{"version": "0.4", "axes": [{axes}], "datasets": [{{"path": "{path}"}}]}}]}}'


def liar(_: Path) -> bytes:
    content = zipped({"liar.tif": bytes(60_000)})
    return content.replace((60_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))


def encrypted(_: Path) -> bytes:
    content = bytearray(zipped(slices(GREY)))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(mark) + offset] |= 1
    return bytes(content)


def twice(_: Path) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("s_0.png", png(GREY[0]))
        archive.writestr("s_1.png", png(GREY[1]))
    return file.getvalue().replace(b"s_1.png", b"s_0.png")


KINDS: dict[str, tuple[str, Make]] = {
    # References
    "HDF5: external storage": ("v.h5", hdf5(external)),
    "HDF5: external storage, relative": ("v.h5", hdf5(lambda c, _: external(c, "../upload.json"))),
    "HDF5: external storage beside harmless voxels": ("v.h5", hdf5(mixed)),
    "HDF5: virtual dataset": ("v.h5", hdf5(virtual)),
    "HDF5: virtual dataset, relative": ("v.h5", hdf5(lambda c, _: virtual(c, "../canary"))),
    "HDF5: external link": ("v.h5", hdf5(external_link)),
    "HDF5: external link in a group": ("v.h5", hdf5(link_in_a_group)),
    "OME-TIFF: a plane elsewhere": ("v.tif", named_plane("{canary}")),
    "OME-TIFF: a plane in the folder above": ("v.tif", named_plane("../upload.json")),
    "OME-TIFF: metadata elsewhere": ("v.tif", ome('<BinaryOnly MetadataFile="{canary}" UUID="urn:uuid:0"/>')),
    "OME-TIFF: an entity that is a file": (
        "v.tif",
        ome("<TiffData/>", '<!DOCTYPE OME [<!ENTITY x SYSTEM "file://{canary}">]>'),
    ),
    "OME-TIFF: entities in entities": (
        "v.tif",
        ome("<TiffData/>&b;", '<!DOCTYPE OME [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]>'),
    ),
    "zip: HDF5 with external storage": ("v.zip", inside("v.h5", hdf5(external))),
    "zip: HDF5 with an external link": ("v.zip", inside("v.h5", hdf5(external_link))),
    "zip: HDF5 with a virtual dataset": ("v.zip", inside("v.hdf5", hdf5(virtual))),
    "zip: OME-TIFF with a plane elsewhere": ("v.zip", inside("v.tif", named_plane("{canary}"))),
    "zip: OME-TIFF with metadata elsewhere": (
        "v.zip",
        inside("v.ome.tif", ome('<BinaryOnly MetadataFile="{canary}" UUID="urn:uuid:0"/>')),
    ),
    "zip: a link": ("v.zip", entry("s_0.tif", b"{canary}", external_attr=(stat.S_IFLNK | 0o777) << 16)),
    "zip: a pipe": ("v.zip", entry("s_0.tif", external_attr=(stat.S_IFIFO | 0o777) << 16)),
    "zip: a device": ("v.zip", entry("s_0.tif", external_attr=(stat.S_IFCHR | 0o777) << 16)),
    "Zarr: an array above": ("v.zip", zarr2("", multiscale("../../canary"))),
    "Zarr: an array at a path of the server": ("v.zip", zarr2("", multiscale("{canary}"))),
    "Zarr: an array at a URL": ("v.zip", zarr2("", multiscale("s3://lab/secret"))),
    "Zarr: an array at a file URL": ("v.zip", zarr2("", multiscale("file://{canary}"))),
    # Nesting
    "npz in a zip": ("v.zip", inside("v.npz", npz)),
    "zip in a zip": ("v.zip", inside("v.zip", lambda _: zipped(slices(GREY)))),
    "zip in a folder in a zip": ("v.zip", inside("a/b/V.ZIP", lambda _: zipped(slices(GREY)))),
    "zip in an npz": ("v.npz", inside("v.zip", lambda _: zipped(slices(GREY)))),
    "zip that is called TIFF in a zip": ("v.zip", inside("v.tif", lambda _: zipped(slices(GREY)))),
    "zip that is called HDF5": ("v.h5", lambda _: zipped(slices(GREY))),
    # Headers that lie
    "PNG: 3.6 GB": ("v.zip", lambda _: zipped({"s_0.png": lying_png(60_000, 60_000)})),
    "two PNGs: 50 GB": ("v.zip", lambda _: zipped({f"s_{z}.png": lying_png(160_000, 160_000) for z in (0, 1)})),
    "TIFF: 100 GB in 200 bytes": ("v.tif", tags(claiming(320_000, 320_000, 1), voxels=bytes(100))),
    "TIFF: 100 GB of Zstandard": ("v.tif", tags(claiming(320_000, 320_000, 50000), voxels=bytes(100))),
    "TIFF: 100 GB of deflate": ("v.tif", tags(claiming(320_000, 320_000, 8), voxels=bytes(100))),
    "TIFF: a tile of 1 TB": (
        "v.tif",
        tags(claiming(56, 40, 8, t322=(4, 2**20), t323=(4, 2**20), t324=(4, 8), t325=(4, 100)), voxels=bytes(100)),
    ),
    "TIFF: a page that follows itself": ("v.tif", tags(claiming(10, 10, 1), following=8, voxels=bytes(100))),
    "TIFF: two pages in a circle": ("v.tif", two_pages_in_a_circle),
    "TIFF: pages past the end": ("v.tif", tags(claiming(10, 10, 1), following=2**31, voxels=bytes(100))),
    "BigTIFF: 2^60 tags": ("v.tif", bigtiff_of_many_tags),
    "TIFF: voxels past the end": ("v.tif", tags(claiming(10, 10, 1, t273=(4, 2**31)), voxels=bytes(100))),
    "ImageJ: a billion slices": ("v.tif", imagej_of_many),
    "OME-TIFF: a billion slices": ("v.tif", ome("<TiffData/><!-- {z} -->")),
    "OME-TIFF: a billion planes": ("v.tif", ome('<TiffData IFD="0" PlaneCount="1000000000"/>')),
    "OME-TIFF: a plane far behind": ("v.tif", ome('<TiffData IFD="2000000000"/>')),
    "MRC: 2 GB of extended header": ("v.mrc", mrc(nsymbt=2**31 - 1)),
    "MRC: 2^93 voxels": ("v.mrc", mrc(nx=2**31 - 1, ny=2**31 - 1, nz=2**31 - 1)),
    "MRC: negative sides": ("v.mrc", mrc(nx=-56, ny=-40)),
    "MRC: no such mode": ("v.mrc", mrc(mode=77)),
    "NumPy: 10^18 voxels": (
        "v.npy",
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (999999, 999999, 999999)}"),
    ),
    "NumPy: a header of 600 MB": ("v.npy", npy("{'descr': '|u1'}", version=2, length=600_000_000)),
    "NumPy: objects": ("v.npy", npy("{'descr': '|O', 'fortran_order': False, 'shape': (3, 40, 56)}")),
    "NumPy: negative sides": ("v.npy", npy("{'descr': '|u1', 'fortran_order': False, 'shape': (3, -40, -56)}")),
    "NumPy: brackets in brackets": ("v.npy", npy("(" * 4000 + ")" * 4000)),
    "NumPy: code for a header": ("v.npy", npy("__import__('os').getcwd()")),
    "HDF5: 100 GB without chunks": ("v.h5", hdf5(lambda c, _: c.create_dataset("v", (1000, 10_000, 10_000), "uint8"))),
    "HDF5: one chunk of 2 GB": (
        "v.h5",
        hdf5(lambda c, _: c.create_dataset("v", (20, 10_000, 10_000), "u1", chunks=(20, 10_000, 10_000))),
    ),
    "HDF5: 10 TB that were never written": (
        "v.h5",
        hdf5(lambda c, _: c.create_dataset("v", (10**5, 10**4, 10**4), "u1", chunks=(1, 100, 100))),
    ),
    "Zarr: 10^12 voxels that were never written": (
        "v.zip",
        zarr2(array2("[10000,10000,10000]", "[1,100,100]")),
    ),
    "Zarr: one chunk of 1 TB": ("v.zip", zarr2(array2("[10000,10000,10000]", "[10000,10000,10000]"))),
    "Zarr: negative sides": ("v.zip", zarr2(array2("[3,-40,-56]"))),
    "Zarr: chunks of nothing": ("v.zip", zarr2(array2(chunks="[0,0,0]"))),
    "Zarr: objects": ("v.zip", zarr2(array2(dtype='"|O"'))),
    "Zarr: an unknown codec": ("v.zip", zarr2(array2(more='{"id": "run-me"}'))),
    "Zarr: brackets in brackets": ("v.zip", zarr2("[" * 5000 + "]" * 5000)),
    "zip: 1000 times its size": ("v.zip", lambda _: zipped({"s_0.tif": bytes(5_000_000)})),
    "zip: an entry larger than it says": ("v.zip", liar),
    "zip: more files than are taken": ("v.zip", lambda _: zipped({f"{n}": b"" for n in range(3_001)})),
    "zip: folders in folders": ("v.zip", lambda _: zipped({"a/" * 100 + "s_0.png": png(GREY[0])})),
    "zip: with a password": ("v.zip", encrypted),
    # Names
    "zip: a way out": ("v.zip", entry("../../s_0.png")),
    "zip: a way out behind a folder": ("v.zip", entry("a/../../s_0.png")),
    "zip: a path of the server": ("v.zip", entry("/tmp/s_0.png")),
    "zip: a way out with backslashes": ("v.zip", entry("a\\..\\..\\s_0.png")),
    "zip: a drive": ("v.zip", entry("C:/s_0.png")),
    "zip: two entries of one name": ("v.zip", twice),
    "zip: a name of 300 letters": ("v.zip", entry("s" * 300 + ".png")),
    "zip: a line end in a name": ("v.zip", entry("s\n_0.png")),
    "a web page called TIFF": ("v.tif", lambda _: b"<html><script>x</script></html>" * 10),
}


def main() -> None:
    folder = Path(sys.argv[1])
    few = {"volume_bytes": 10**9, "archive_entries": 3_000, "waiting_per_owner": 200}
    settings = Settings(data=folder / "data", models=(), **few)
    for kind, (name, make) in KINDS.items():
        upload = uploaded(settings, make(folder), name)
        started = time.monotonic()
        try:
            found = look(settings, upload)
            said, refused = f"read as {found.kind} {found.shape_zyx} at {found.location}", False
        except InputError as error:
            said, refused = str(error), True
        seconds = time.monotonic() - started
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        print(json.dumps({"kind": kind, "refused": refused, "said": said, "seconds": seconds, "bytes": peak}))


if __name__ == "__main__":
    main()
