"""Labels as vemseg stores them: class ids for every slice of a capture, from files that may hold only some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np

from pipeline.errors import ConfigError, DataError
from pipeline.volume.geometry import Block
from pipeline.volume.labels import ClassMap, whole_numbers
from pipeline.volume.sources import STRANGER, Policy, Source, open_source
from pipeline.volume.streaming import pieces

# In place of a mask: the class takes every voxel that is in no mask.
FILL = "fill"


class TruthView(Source):
    """Class ids as stored, from one id volume or from one mask a class (None: that class fills the rest).

    `file_slices` says for each slice of the capture which slice of the label files it is; -1 where nobody
    labelled it, which gives zeros.
    """

    def __init__(
        self, sources: Sequence[Source | None], classes: ClassMap, file_slices: Sequence[int], *, masks: bool
    ) -> None:
        self.classes = classes
        self._sources, self._file_slices, self._masks = sources, file_slices, masks
        drawn = [source for source in sources if source is not None]
        self.location = ", ".join(source.location for source in drawn)
        self.slices_at_once = max(source.slices_at_once for source in drawn)
        self.shape_zyx = (len(file_slices), *drawn[0].shape_zyx[1:])
        self.dtype = classes.dtype

    def read_block(self, block: Block) -> np.ndarray:
        out = np.zeros(block.shape_zyx, self.dtype)
        z_start, z_stop = block.start_zyx[0], block.stop_zyx[0]
        for first, last, file_z in _runs(self._file_slices[z_start:z_stop]):
            rows, columns = block.start_zyx[1:], block.stop_zyx[1:]
            file_block = Block((file_z, *rows), (file_z + last - first, *columns))
            parts = [None if source is None else source.read_block(file_block) for source in self._sources]
            for index in range(last - first):  # slice by slice, which the messages name
                planes = [None if part is None else part[index] for part in parts]
                out[first + index] = self._encoded(planes, file_z + index)
        return out

    def count(self) -> np.ndarray:
        """Voxels (int64) not labelled, then of each class; reads everything, and so checks every label."""
        counts = np.zeros(len(self.classes.names) + 1, np.int64)
        for _, data in pieces(self):
            counts += self.classes.count(data)
        return counts

    def _encoded(self, planes: Sequence[np.ndarray | None], file_z: int) -> np.ndarray:
        where = f"{self.location}, slice {file_z}"
        if self._masks:
            return self.classes.encode_masks(planes, where)
        (ids,) = planes
        assert ids is not None
        return self.classes.encode(ids, where)


class ObjectsView(Source):
    """Ids of objects, as they are in their file (uint64), for every slice of a capture; 0 where there is none."""

    def __init__(self, source: Source, file_slices: Sequence[int]) -> None:
        self._source, self._file_slices = source, file_slices
        self.location, self.slices_at_once = source.location, source.slices_at_once
        self.shape_zyx = (len(file_slices), *source.shape_zyx[1:])
        self.dtype = np.dtype(np.uint64)

    def read_block(self, block: Block) -> np.ndarray:
        out = np.zeros(block.shape_zyx, self.dtype)
        rows, columns = block.start_zyx[1:], block.stop_zyx[1:]
        for first, last, file_z in _runs(self._file_slices[block.start_zyx[0] : block.stop_zyx[0]]):
            ids = self._source.read_block(Block((file_z, *rows), (file_z + last - first, *columns)))
            out[first:last] = self._whole(ids, f"{self.location}, slices from {file_z}")
        return out

    def _whole(self, ids: np.ndarray, where: str) -> np.ndarray:
        whole = whole_numbers(ids, where)
        if whole.dtype.kind == "i" and whole.min() < 0:
            raise DataError(f"{where}: the id {whole.min()} is negative; objects have ids from 1, and 0 is none")
        return whole.astype(self.dtype)


@contextmanager
def opened_objects(
    location: str,
    raw: str,
    base: Path,
    *,
    labelled_slices: Sequence[int] | None,
    slices: tuple[int, int] | None,
    policy: Policy = STRANGER,
) -> Iterator[ObjectsView]:
    """The ids of objects of a capture.

    See `ingest_capture` for the arguments. Raises DataError naming both files when shapes differ.
    """
    with (
        open_source(raw, base, policy) as image,
        open_source(location, base, policy, gaps_allowed=labelled_slices is not None, labels=True) as source,
    ):
        of_slice = dict(_file_slices(source, image, labelled_slices))
        yield ObjectsView(source, [of_slice.get(z, -1) for z in range(*(slices or (0, image.shape_zyx[0])))])


def open_truth(
    opened: ExitStack,
    labels: str | Mapping[str, str],
    base: Path,
    classes: ClassMap,
    raw: Source,
    *,
    labelled_slices: Sequence[int] | None,
    span: range,
    policy: Policy = STRANGER,
) -> TruthView:
    """The labels of the slices `span` of a raw volume; files are closed with the stack `opened`.

    See `ingest_capture` for `labels` and `labelled_slices`. Raises DataError naming both files when shapes
    differ, and ConfigError when masks and class names, or slices and volume, do not match.
    """
    masks, gaps_allowed = not isinstance(labels, str), labelled_slices is not None
    locations = _mask_locations(labels, classes) if not isinstance(labels, str) else [labels]
    sources: list[Source | None] = [
        None
        if location == FILL and masks
        else opened.enter_context(open_source(location, base, policy, gaps_allowed=gaps_allowed, labels=True))
        for location in locations
    ]
    drawn = [source for source in sources if source is not None]
    file_slice = {_file_slices(source, raw, labelled_slices) for source in drawn}
    if len(file_slice) > 1:
        names = ", ".join(f"{source.location} has {source.shape_zyx[0]}" for source in drawn)
        raise DataError(f"masks hold different numbers of slices: {names}; export all alike")
    of_slice = dict(file_slice.pop())
    return TruthView(sources, classes, [of_slice.get(z, -1) for z in span], masks=masks)


def _mask_locations(labels: Mapping[str, str], classes: ClassMap) -> list[str]:
    unknown = sorted(set(labels) - set(classes.labelled))
    missing = [name for name in classes.labelled if name not in labels]
    if unknown or missing:
        raise ConfigError(
            f"masks: no class is named {unknown}, no mask is given for {missing}; "
            f"give each class one mask (one class may have {FILL!r})"
        )
    locations = [labels[name] for name in classes.labelled]
    if locations.count(FILL) > 1 or locations.count(FILL) == len(locations):
        raise ConfigError(f"masks: {locations.count(FILL)} classes are {FILL!r}; one may be, beside a mask")
    return locations


def _file_slices(source: Source, raw: Source, labelled_slices: Sequence[int] | None) -> tuple[tuple[int, int], ...]:
    """(slice of the raw volume, slice of the label file) for every labelled slice."""
    depth = raw.shape_zyx[0]
    labelled = range(depth) if labelled_slices is None else sorted(set(labelled_slices))
    outside = [z for z in labelled if not 0 <= z < depth]
    if outside:
        raise ConfigError(f"labelled slice {outside[0]} is not in {raw.location}, which has slices 0 to {depth - 1}")
    if source.shape_zyx == raw.shape_zyx:
        return tuple((z, z) for z in labelled)
    if source.shape_zyx == (len(labelled), *raw.shape_zyx[1:]):
        _refuse_other_numbers(source, raw, labelled)
        return tuple((z, index) for index, z in enumerate(labelled))
    wanted = "" if labelled_slices is None else f" or {len(labelled)} labelled slices of that size"
    raise DataError(
        f"labels {source.location} have shape {source.shape_zyx}, but {raw.location} has {raw.shape_zyx} (z, y, x); "
        f"give labels of that shape{wanted or ', or list the labelled slices'}"
    )


def _refuse_other_numbers(source: Source, raw: Source, labelled: Sequence[int]) -> None:
    """Where the files of raw slices and of labels are numbered, those that belong together have one number."""
    if not source.slice_numbers or not raw.slice_numbers:
        return
    for z, number in zip(labelled, source.slice_numbers, strict=True):
        if raw.slice_numbers[z] != number:
            raise DataError(
                f"{source.where(labelled.index(z))}: has the number {number}, but labelled slice {z} of {raw.location} "
                f"is {raw.where(z)}; slices are counted from 0: correct labelled_slices, or give both files one number"
            )


def _runs(file_slices: Sequence[int]) -> list[tuple[int, int, int]]:
    """(first, last excluded, file slice of the first) of each run of labelled slices that follow each other."""
    labelled = [index for index, file_z in enumerate(file_slices) if file_z >= 0]
    breaks = [0] + [
        position + 1
        for position, (left, right) in enumerate(pairwise(labelled))
        if right != left + 1 or file_slices[right] != file_slices[left] + 1
    ]
    spans = [labelled[start:stop] for start, stop in pairwise([*breaks, len(labelled)])]
    return [(span[0], span[-1] + 1, file_slices[span[0]]) for span in spans if span]
