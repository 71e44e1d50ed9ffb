"""Sources in an archive: it is unpacked, with limits, to a temporary folder and read there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pipeline.errors import DataError
from pipeline.volume.archive import extract
from pipeline.volume.geometry import Block
from pipeline.volume.sources.base import Location, Source

# What file managers add to archives unasked.
_CLUTTER = ("__MACOSX", "Thumbs.db", "desktop.ini")


class PackedSource(Source):
    """The one volume in a zip or .npz file, or the one named after ``:/``; the folder is removed on close."""

    def __init__(self, location: Location, open_inside: Callable[[str, Path], Source]) -> None:
        assert location.path is not None
        self.location = location.text
        self._folder = TemporaryDirectory(prefix="vemseg-unpacked-")
        root = Path(self._folder.name)
        with ExitStack() as undo:
            undo.callback(self._folder.cleanup)
            extract(location.path, root)
            self._inside = self._open(open_inside, location, root)
            undo.pop_all()
        self.shape_zyx, self.dtype = self._inside.shape_zyx, self._inside.dtype
        self.voxel_size_nm, self.slices_at_once = self._inside.voxel_size_nm, self._inside.slices_at_once
        self.chunk_bytes = self._inside.chunk_bytes

    def _open(self, open_inside: Callable[[str, Path], Source], location: Location, root: Path) -> Source:
        try:
            return open_inside(_inner_location(location, root), root)
        except DataError as error:
            raise DataError(self._named(str(error))) from error

    @staticmethod
    def accepts(location: Location) -> bool:
        return location.suffix in (".zip", ".npz")

    def read_block(self, block: Block) -> np.ndarray:
        try:
            return self._inside.read_block(block)
        except DataError as error:
            raise DataError(self._named(str(error))) from error

    def where(self, z: int) -> str:
        return self._named(self._inside.where(z))

    def close(self) -> None:
        self._inside.close()
        self._folder.cleanup()

    def _named(self, message: str) -> str:
        """A message in terms of the archive, not of the temporary folder."""
        return f"{self.location}: {message.replace(f'{self._folder.name}/', '').replace(self._folder.name, '')}"


def _inner_location(location: Location, root: Path) -> str:
    if location.inner and location.suffix == ".npz":
        return f"{location.inner}.npy"
    return location.inner or only_volume(root, location.text)


def only_volume(root: Path, where: str) -> str:
    """The place of the only volume below a folder: its single file, or the folder itself, as of PNG slices."""
    entries = [e for e in sorted(root.iterdir()) if e.name not in _CLUTTER and not e.name.startswith("._")]
    if len(entries) == 1 and entries[0].is_dir():
        return only_volume(entries[0], where)
    if len(entries) == 1 and entries[0].suffix.lower() != ".png":
        return str(entries[0])
    files = [entry for entry in entries if entry.is_file()]
    if not files:
        names = ", ".join(entry.name for entry in entries) or "nothing"
        raise DataError(f"{where}: holds {names}; name one part, as in {where}:/{names.split(',')[0]}")
    return str(root)
