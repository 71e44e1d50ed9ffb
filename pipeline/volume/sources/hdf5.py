"""HDF5: one dataset of a file, ``file.h5:/path/to/dataset``."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import h5py
import numpy as np

from pipeline.errors import DataError
from pipeline.volume.sources.base import ArrayFormat, Location, Opening, decoding
from pipeline.volume.sources.hdf5_layouts import finest, layout_of
from pipeline.volume.sources.registry import register


@register
class Hdf5Source(ArrayFormat):
    """A dataset of a file; it need not be named when the file holds one volume only."""

    name = "HDF5 dataset"
    suffixes = (".h5", ".hdf5", ".hdf", ".he5", ".ims")

    def __init__(self, location: Location, opening: Opening) -> None:
        assert location.path is not None
        self.location = location.text
        with ExitStack() as undo, decoding(self.location):
            self._file = undo.enter_context(h5py.File(location.path, "r"))
            dataset = _chosen(self._file, location)
            _check_elsewhere(dataset, self.location, set())
            layout = layout_of(dataset, location.path, follows_references=opening.policy.follows_references)
            self.dtype = np.dtype(np.uint16) if layout.is_unsigned else dataset.dtype.newbyteorder("=")
            self._take(dataset, _names(dataset), dataset.chunks, layout.shape_zyx)
            self.voxel_size_nm = layout.size_nm
            if (
                layout.size_nm and None not in self._dimensions
            ):  # in the order of the dimensions, less those of channels
                ranks = np.argsort(np.argsort(np.array(self._dimensions, int)))
                z, y, x = (layout.size_nm[rank] for rank in ranks)
                self.voxel_size_nm = z, y, x
            if not dataset.external and not dataset.is_virtual:
                self.stored_bytes = location.path.stat().st_size
            # Chunks that were never written take no room; a dataset without chunks is there as a whole.
            self.densest = 1.0 if dataset.chunks is None else opening.policy.limits.sparse_ratio
            undo.pop_all()

    @classmethod
    def refuse_references(cls, location: Location) -> None:
        """Links to other files, voxels in other files (external storage) and those of others (virtual datasets)."""
        with decoding(location.text), h5py.File(location.path, "r") as file:
            _refuse_foreign(file, location.text)

    @classmethod
    def parts(cls, location: Location) -> dict[str, tuple[int, ...]]:
        with decoding(location.text), h5py.File(location.path, "r") as file:
            found = _volumes(file)
            return {name: found[name] for name in finest(found)}

    @classmethod
    def voxels_beside(cls, location: Location) -> set[Path]:
        assert location.path is not None
        with decoding(location.text), h5py.File(location.path, "r") as file:
            dataset = _chosen(file, location)
            return {Path(dataset.file.filename), *_check_elsewhere(dataset, location.text, set())}

    def close(self) -> None:
        self._file.close()


def _chosen(file: h5py.File, location: Location) -> h5py.Dataset:
    found = _volumes(file)
    listed = ", ".join(f"/{name} {shape}" for name, shape in found.items()) or "none"
    if location.inner:
        chosen = file.get(location.inner)
        if isinstance(chosen, h5py.Dataset):
            return chosen
        raise DataError(f"{location.text}: no dataset /{location.inner}; the file holds {listed}")
    names = finest(found)
    if len(names) != 1:
        raise DataError(f"{location.text}: name one dataset, as in {location.text}:/data; the file holds {listed}")
    return file[names[0]]


def _volumes(file: h5py.File) -> dict[str, tuple[int, ...]]:
    """Name and shape of every dataset that may be a volume, or a slice."""
    found: dict[str, tuple[int, ...]] = {}

    def note(name: str, node: object) -> None:
        if isinstance(node, h5py.Dataset) and node.ndim >= 2 and node.dtype.kind in "buif":
            found[name] = node.shape

    file.visititems(note)
    return found


def _refuse_foreign(file: h5py.File, where: str) -> None:
    def foreign(name: str, link: object) -> str | None:
        if isinstance(link, h5py.HardLink):
            node = file.get(name)
            keeps_elsewhere = isinstance(node, h5py.Dataset) and (node.external or node.is_virtual)
            return f"dataset /{name} keeps its voxels in" if keeps_elsewhere else None
        return None if isinstance(link, h5py.SoftLink) else f"/{name} is a link to"

    found = file.visititems_links(foreign)
    if found:
        raise DataError(f"{where}: {found} other files; export it into one file")


def _external_files(dataset: h5py.Dataset, where: str) -> set[Path]:
    """The files of external storage. Raises DataError where one ends before its voxels do: HDF5 reads zeros instead."""
    left = dataset.size * dataset.dtype.itemsize
    prefix = os.environ.get("HDF5_EXTFILE_PREFIX", "").replace("${ORIGIN}", str(Path(dataset.file.filename).parent))
    found = set()
    for name, offset, size_bytes in dataset.external or ():
        here = min(left, size_bytes)
        left, path = left - here, Path(prefix, name)
        if not path.is_file():
            continue  # HDF5 itself refuses it
        found.add(path)
        if path.stat().st_size < offset + here:
            raise DataError(
                f"{where}: its voxels lie in {name}, which has {path.stat().st_size} bytes instead of "
                f"{offset + here}; copy that file again"
            )
    return found


def _check_elsewhere(dataset: h5py.Dataset, where: str, seen: set[tuple[str, str]]) -> set[Path]:
    """The other files that hold voxels. Raises DataError where one is missing or short: HDF5 reads zeros instead."""
    found = _external_files(dataset, where)
    if not dataset.is_virtual or (dataset.file.filename, dataset.name) in seen:
        return found
    seen.add((dataset.file.filename, dataset.name))
    around = Path(str(dataset.file.filename))
    named = {(str(source.file_name), str(source.dset_name)) for source in dataset.virtual_sources()}
    for file_name, name in sorted(named):
        if "%b" in (file_name + name).replace("%%", ""):  # numbered sources: the shape is what was found of them
            for number in count():
                with ExitStack() as done:
                    numbered = _opened_source(file_name.replace("%b", str(number)).replace("%%", "%"), around)
                    if numbered is None:
                        break
                    found.add(Path(done.enter_context(numbered).filename))
                if "%b" not in file_name:
                    break
            continue
        file_name, name = file_name.replace("%%", "%"), name.replace("%%", "%")
        with ExitStack() as done:
            if file_name == ".":
                file = dataset.file
            elif opened := _opened_source(file_name, around):
                file = done.enter_context(opened)
            else:
                raise DataError(
                    f"{where}: its voxels lie in {file_name}, which is missing or cannot be opened; copy it beside "
                    f"{dataset.file.filename}, or export the volume into one file"
                )
            source = file.get(name)
            if not isinstance(source, h5py.Dataset):
                raise DataError(
                    f"{where}: its voxels lie in {file_name}:/{name.strip('/')}, but that file has no such dataset; "
                    "export the volume again"
                )
            found |= {Path(file.filename), Path(source.file.filename), *_check_elsewhere(source, where, seen)}
    return found


def _opened_source(name: str, around: Path) -> h5py.File | None:
    """A file of a virtual dataset, found as HDF5 finds it (H5Pset_virtual, H5Pset_virtual_prefix)."""
    prefixes = [
        part.replace("${ORIGIN}", str(around.parent)) for part in os.environ.get("HDF5_VDS_PREFIX", "").split(":")
    ]
    folders = [*map(Path, filter(None, prefixes)), around.parent, Path(), around.resolve().parent]
    names = [name, Path(name).name] if Path(name).is_absolute() else [name]
    for path in (Path(folder, each) for each in names for folder in folders):
        try:
            return h5py.File(path, "r")
        except OSError:
            continue
    return None


def _names(dataset: h5py.Dataset) -> list[str]:
    """Names of the dimensions: vigra's and ilastik's ``axistags``, else HDF5's own labels of dimensions."""
    tags = dataset.attrs.get("axistags")
    if isinstance(tags, str | bytes):
        return [str(axis["key"]) for axis in json.loads(tags)["axes"]]
    return [dimension.label for dimension in dataset.dims]
