"""Writes one volume in every format that is read; the writers are those of other packages."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import mrcfile
import numpy as np
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


WRITERS: dict[str, Callable[[Path, np.ndarray], str]] = {
    "png folder": png_folder,
    "tiff folder": tiff_folder,
    "tiff": tiff_with(),
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
    "npy": npy,
    "npz": npz,
    "zarr 2": zarr_array(2),
    "zarr 3": zarr_array(3),
    "ome-zarr 0.4": ome_zarr("0.4"),
    "ome-zarr 0.5": ome_zarr("0.5"),
    "zip of png": zipped(png_folder),
    "zip of tiff": zipped(imagej),
    "zip of zarr": zipped(zarr_array(3)),
}

WITH_VOXEL_SIZE = {"imagej", "ome-tiff", "mrc", "hdf5", "ome-zarr 0.4", "ome-zarr 0.5", "zip of tiff"}
