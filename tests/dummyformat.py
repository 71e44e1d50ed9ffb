"""A format that only tests know: entered into the registry and removed again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from pipeline.errors import DataError
from pipeline.volume.sources import FORMATS, register
from pipeline.volume.sources.base import Location, Opening, PagedFormat

SHAPE = (3, 40, 56)


class DummySource(PagedFormat):
    """Slices of the values 7, 8, 9, ...: a format without voxels of its own. Its text may name another file."""

    name = "dummy volume"
    suffixes = (".dummy",)
    voxel_size_nm = (30.0, 5.0, 5.0)

    def __init__(self, location: Location, opening: Opening) -> None:
        assert location.path is not None
        self.location, self.dtype = location.text, np.dtype(np.uint8)
        depth, height, width = (int(side) for side in location.path.read_text().split()[:3])
        self.shape_zyx = (depth, height, width)

    @classmethod
    def refuse_references(cls, location: Location) -> None:
        assert location.path is not None
        if len(location.path.read_text().split()) > 3:
            raise DataError(f"{location.text}: names another file")

    def page(self, index: int) -> np.ndarray:
        return np.full(self.shape_zyx[1:], index + 7, np.uint8)


@contextmanager
def dummy_format() -> Iterator[bytes]:
    """The format is in the registry; gives the content of a file of it."""
    register(DummySource)
    try:
        yield " ".join(map(str, SHAPE)).encode()
    finally:
        FORMATS.remove(DummySource)
