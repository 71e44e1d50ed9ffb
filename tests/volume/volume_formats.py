"""Writes one volume in every format that is read; the writers are those of other packages."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import mrcfile
import nibabel
import nrrd as pynrrd
import numpy as np
import tensorstore
import tifffile
import zarr
from PIL import Image

VOXEL_SIZE_NM = (30.0, 5.0, 4.0)


def png_folder(folder: Path, data: np.ndarray) -> str:
    # Not padded, so that the order of the names is not that of the slices; the first number is the same for all.
    return slices(folder / "png", data, "stack2_slice{}.png", lambda path, page: Image.fromarray(page).save(path))


def tiff_folder(folder: Path, data: np.ndarray) -> str:
    return slices(
        folder / "tif", data, "{:03}.tiff", lambda path, page: tifffile.imwrite(path, page, compression="lzw")
    )


def slices(folder: Path, data: np.ndarray, pattern: str, write: Callable[[Path, np.ndarray], None]) -> str:
    folder.mkdir()
    for z, page in enumerate(data):
        write(folder / pattern.format(z + 3), page)
    (folder / "notes.txt").write_text("not an image")
    return folder.name


def tiff_with(**options: object) -> Callable[[Path, np.ndarray], str]:
    def write(folder: Path, data: np.ndarray) -> str:
        tifffile.imwrite(folder / "stack.tif", data, photometric="minisblack", **options)
        return "stack.tif"

    return write


def tiff_page_by_page(folder: Path, data: np.ndarray) -> str:
    with tifffile.TiffWriter(folder / "pages.tif") as file:
        for page in data:
            file.write(page, compression="zlib", contiguous=False)
    return "pages.tif"


def imagej(folder: Path, data: np.ndarray) -> str:
    z_nm, y_nm, x_nm = VOXEL_SIZE_NM
    metadata = {"axes": "ZYX", "spacing": z_nm / 1000, "unit": "um"}
    resolution = (1000 / x_nm, 1000 / y_nm)
    tifffile.imwrite(folder / "ij.tif", data, imagej=True, resolution=resolution, metadata=metadata)
    return "ij.tif"


def ome_tiff(folder: Path, data: np.ndarray) -> str:
    metadata: dict[str, object] = {"axes": "ZYX"}
    for axis, size_nm in zip("ZYX", VOXEL_SIZE_NM, strict=True):
        metadata |= {f"PhysicalSize{axis}": size_nm / 1000, f"PhysicalSize{axis}Unit": "µm"}
    tifffile.imwrite(folder / "stack.ome.tif", data, compression="zlib", metadata=metadata)
    return "stack.ome.tif"


def mrc(folder: Path, data: np.ndarray) -> str:
    with mrcfile.new(folder / "stack.mrc") as file:
        file.set_data(data)
        file.voxel_size = tuple(10 * size_nm for size_nm in reversed(VOXEL_SIZE_NM))
    return "stack.mrc"


def hdf5(folder: Path, data: np.ndarray) -> str:
    with h5py.File(folder / "two.h5", "w") as file:
        dataset = file.create_dataset("volumes/raw", data=data, chunks=(2, 16, 16), compression="gzip")
        dataset.attrs["element_size_um"] = np.divide(VOXEL_SIZE_NM, 1000)
        file["volumes/labels"] = np.zeros_like(data)
    return "two.h5:/volumes/raw"


def hdf5_alone(folder: Path, data: np.ndarray) -> str:
    with h5py.File(folder / "one.hdf5", "w") as file:
        file.create_dataset("raw", data=data, chunks=(2, *data.shape[1:]))
        file["name"] = "not a volume"
    return "one.hdf5"


def hdf5_named(folder: Path, data: np.ndarray) -> str:
    with h5py.File(folder / "named.h5", "w") as file:
        dataset = file.create_dataset("raw", data=data, chunks=(2, 16, 16))
        dataset.attrs["axistags"] = json.dumps({"axes": [{"key": axis, "typeFlags": 2} for axis in "zyx"]})
        dataset.attrs["resolution"], dataset.attrs["offset"] = VOXEL_SIZE_NM, (0.0, 0.0, 0.0)
        for dimension, axis in zip(dataset.dims, "zyx", strict=True):
            dimension.label = axis
    return "named.h5"


def npy(folder: Path, data: np.ndarray) -> str:
    np.save(folder / "stack.npy", data)
    return "stack.npy"


def npz(folder: Path, data: np.ndarray) -> str:
    np.savez_compressed(folder / "two.npz", raw=data, labels=np.zeros(3))
    return "two.npz:/raw"


def zarr_array(version: int) -> Callable[[Path, np.ndarray], str]:
    def write(folder: Path, data: np.ndarray) -> str:
        zarr.create_array(str(folder / "plain.zarr"), data=data, chunks=(3, 16, 16), zarr_format=version)
        return "plain.zarr"

    return write


def ome_zarr(version: str) -> Callable[[Path, np.ndarray], str]:
    def write(folder: Path, data: np.ndarray) -> str:
        group = zarr.create_group(str(folder / "image.zarr"), zarr_format=3 if version == "0.5" else 2)
        group.create_array("full", data=data[None, None])
        spatial = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
        axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}, *spatial]
        scale = [1.0, 1.0, *np.divide(VOXEL_SIZE_NM, 2000).tolist()]
        dataset = {"path": "full", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        whole = [{"type": "scale", "scale": [1.0, 1.0, 2.0, 2.0, 2.0]}]
        multiscales = [{"axes": axes, "datasets": [dataset], "coordinateTransformations": whole}]
        group.attrs.update(
            {"ome": {"version": "0.5", "multiscales": multiscales}}
            if version == "0.5"
            else {"multiscales": multiscales}
        )
        return "image.zarr"

    return write


def zipped(write: Callable[[Path, np.ndarray], str]) -> Callable[[Path, np.ndarray], str]:
    def pack(folder: Path, data: np.ndarray) -> str:
        inside = folder / "inside"
        inside.mkdir()
        write(inside, data)
        with zipfile.ZipFile(folder / "stack.zip", "w") as file:
            file.writestr("__MACOSX/._junk", b"added by a file manager")
            for path in inside.rglob("*"):
                file.write(path, path.relative_to(folder))
        return "stack.zip"

    return pack


def nrrd(encoding: str) -> Callable[[Path, np.ndarray], str]:
    def write(folder: Path, data: np.ndarray) -> str:
        sizes = np.diag(VOXEL_SIZE_NM[::-1])
        header = {"space dimension": 3, "space directions": sizes, "space units": ["nm"] * 3, "encoding": encoding}
        pynrrd.write(str(folder / "stack.nrrd"), data, header, index_order="C")
        return "stack.nrrd"

    return write


def nifti(name: str) -> Callable[[Path, np.ndarray], str]:
    def write(folder: Path, data: np.ndarray) -> str:
        image = nibabel.Nifti1Image(data.T, np.diag([*np.divide(VOXEL_SIZE_NM[::-1], 1000), 1]), dtype=data.dtype)
        image.header.set_xyzt_units(xyz="micron")
        nibabel.save(image, folder / name)
        return name

    return write


def n5(folder: Path, data: np.ndarray) -> str:
    metadata = {"dimensions": data.shape[::-1], "blockSize": (16, 16, 2), "dataType": str(data.dtype)}
    store = {"driver": "file", "path": str(folder / "stack.n5")}
    pixel = {"unit": "nm", "dimensions": VOXEL_SIZE_NM[::-1]}
    spec = {"driver": "n5", "kvstore": store, "metadata": {**metadata, "pixelResolution": pixel}}
    spec["metadata"] |= {"compression": {"type": "gzip"}}
    tensorstore.open(spec, create=True).result().write(data.T).result()
    return "stack.n5"


def precomputed(folder: Path, data: np.ndarray) -> str:
    scale = {"size": data.shape[::-1], "resolution": VOXEL_SIZE_NM[::-1], "chunk_size": (16, 16, 2), "encoding": "raw"}
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": str(folder / "stack")},
        "multiscale_metadata": {"type": "image", "data_type": str(data.dtype), "num_channels": 1},
        "scale_metadata": scale,
    }
    tensorstore.open(spec, create=True).result().write(data.T[..., None]).result()
    return "stack"


def imaris(folder: Path, data: np.ndarray) -> str:
    with h5py.File(folder / "stack.ims", "w") as file:
        channel = file.create_group("DataSet/ResolutionLevel 0/TimePoint 0/Channel 0")
        channel.create_dataset("Data", data=np.pad(data, (0, 3)), chunks=(2, 16, 16), compression="gzip")
        channel.attrs["HistogramMin"], channel.attrs["HistogramMax"] = (
            np.array(["0"], "S1"),
            np.array(list("255"), "S1"),
        )
        image = file.create_group("DataSetInfo/Image").attrs
        for axis, (name, length, size_nm) in enumerate(zip("XYZ", data.shape[::-1], VOXEL_SIZE_NM[::-1], strict=True)):
            image[name] = np.array(list(str(length)), "S1")
            channel.attrs[f"ImageSize{name}"] = np.array(list(str(length)), "S1")
            image[f"ExtMin{axis}"] = np.array(["0"], "S1")
            image[f"ExtMax{axis}"] = np.array(list(str(length * size_nm / 1000)), "S1")
        image["Unit"] = np.array(["u", "m"], "S1")
    return "stack.ims"


def bdv(folder: Path, data: np.ndarray) -> str:
    with h5py.File(folder / "bdv.h5", "w") as file:
        file["s00/resolutions"], file["s00/subdivisions"] = np.ones((1, 3)), np.full((1, 3), 16, "i4")
        file.create_dataset("t00000/s00/0/cells", data=data, chunks=(2, 16, 16), compression="gzip")
    return "bdv.h5"


def gatan_content(version: int, data: np.ndarray, unit: str = "nm") -> bytes:
    """Tags in a tree, as DigitalMicrograph writes them: a preview, then the image."""
    long = ">i" if version == 3 else ">q"

    def tag(name: str, kind: int, content: bytes) -> bytes:
        size = struct.pack(">q", len(content)) if version == 4 else b""
        return struct.pack(">BH", kind, len(name)) + name.encode() + size + content

    def value(name: str, info: Sequence[int], content: bytes) -> bytes:
        described = b"%%%%" + struct.pack(long, len(info)) + b"".join(struct.pack(long, number) for number in info)
        return tag(name, 21, described + content)

    def group(name: str | None, *members: bytes) -> bytes:
        content = b"\1\0" + struct.pack(long, len(members)) + b"".join(members)
        return content if name is None else tag(name, 20, content)

    def number(name: str, code: int, form: str, content: float) -> bytes:
        return value(name, [code], struct.pack(f"<{form}", content))

    def text(name: str, content: str) -> bytes:
        return value(name, [20, 4, len(content)], content.encode("utf-16-le"))

    def image(array: np.ndarray) -> bytes:
        codes = {"|u1": (6, 10), "<u2": (10, 4), "<i2": (1, 2), "<f4": (2, 6)}
        kind, code = codes[array.dtype.str]
        sized = array.shape[::-1]
        axes = [
            group("", number("Origin", 6, "f", 0), number("Scale", 6, "f", scale), text("Units", unit))
            for scale in VOXEL_SIZE_NM[::-1][: array.ndim]
        ]
        brightness = group("Brightness", number("Origin", 6, "f", 0), number("Scale", 6, "f", 1), text("Units", ""))
        calibrations = group("Calibrations", brightness, group("Dimension", *axes))
        dimensions = group("Dimensions", *(number("", 5, "I", length) for length in sized))
        stored = value("Data", [20, code, array.size], array.tobytes())
        parts = (calibrations, stored, number("DataType", 3, "i", kind), dimensions)
        return group(
            "",
            group("ImageData", *parts, number("PixelDepth", 3, "i", array.itemsize)),
            group("ImageTags"),
            text("Name", "stack"),
        )

    preview = np.zeros((8, 8), data.dtype)
    display = value("Rectangle", [15, 0, 2, 0, 6, 0, 6], struct.pack("<ff", 1, 2))
    root = group(None, group("DocumentObjectList", group("", display)), group("ImageList", image(preview), image(data)))
    head = struct.pack(">i", version) + struct.pack(long, len(root)) + struct.pack(">i", 1)
    return head + root + bytes(8)


def gatan(version: int) -> Callable[[Path, np.ndarray], str]:
    def write(folder: Path, data: np.ndarray) -> str:
        (folder / f"stack.dm{version}").write_bytes(gatan_content(version, data))
        return f"stack.dm{version}"

    return write


WRITERS: dict[str, Callable[[Path, np.ndarray], str]] = {
    "png folder": png_folder,
    "tiff folder": tiff_folder,
    "tiff": tiff_with(),
    "tiff named": tiff_with(metadata={"axes": "ZYX"}),
    "tiff zlib": tiff_with(compression="zlib"),
    "tiff tiled": tiff_with(compression="lzw", tile=(16, 32)),
    "tiff big-endian": tiff_with(byteorder=">"),
    "bigtiff": tiff_with(bigtiff=True),
    "tiff page by page": tiff_page_by_page,
    "imagej": imagej,
    "ome-tiff": ome_tiff,
    "mrc": mrc,
    "hdf5": hdf5,
    "hdf5 alone": hdf5_alone,
    "hdf5 named": hdf5_named,
    "npy": npy,
    "npz": npz,
    "zarr 2": zarr_array(2),
    "zarr 3": zarr_array(3),
    "ome-zarr 0.4": ome_zarr("0.4"),
    "ome-zarr 0.5": ome_zarr("0.5"),
    "nrrd": nrrd("raw"),
    "nrrd gzip": nrrd("gzip"),
    "nifti": nifti("stack.nii"),
    "nifti gzip": nifti("stack.nii.gz"),
    "n5": n5,
    "precomputed": precomputed,
    "dm3": gatan(3),
    "dm4": gatan(4),
    "imaris": imaris,
    "bdv": bdv,
    "zip of n5": zipped(n5),
    "zip of png": zipped(png_folder),
    "zip of tiff": zipped(imagej),
    "zip of zarr": zipped(zarr_array(3)),
}

WITH_VOXEL_SIZE = {
    *("nrrd", "nrrd gzip", "nifti", "nifti gzip", "n5", "precomputed", "imaris", "dm3", "dm4", "zip of n5")
} | {
    "imagej",
    "ome-tiff",
    "mrc",
    "hdf5",
    "hdf5 named",
    "ome-zarr 0.4",
    "ome-zarr 0.5",
    "zip of tiff",
}
