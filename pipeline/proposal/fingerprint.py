"""What the files of a labelled stack hold: sizes, voxel size, greys, and where along each axis each label id lies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError, InputError
from pipeline.volume.geometry import Zyx, ZyxNm
from pipeline.volume.greymeter import measured
from pipeline.volume.greyvalues import GreyValues
from pipeline.volume.labels import MAX_OVERLAPPING, whole_numbers
from pipeline.volume.sources import TRUSTED, Source, open_source
from pipeline.volume.streaming import pieces

Role = Literal["any", "validation", "test"]
"""What a stack is for: all parts are cut from those for any."""
OBJECT = 1
"""What the ids of objects are counted as, once there are more of them than there can be classes."""
_GREY_SLICES = 8

Profile = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Voxels of an id at each z, y and x."""


@dataclass(frozen=True)
class Fingerprint:
    """A stack and its labels, as the files state them."""

    name: str
    raw: str
    labels: str | dict[str, str]
    shape_zyx: Zyx
    dtype: str
    profiles: dict[int | str, Profile]
    """Of each id, or of each mask by its name; along z only slices that have labels count."""
    role: Role = "any"
    voxel_size_nm: ZyxNm | None = None
    voxel_size_note: str = ""
    greys: GreyValues | None = None
    """Of the image; None where they were not looked at."""
    labelled_slices: tuple[int, ...] | None = None
    """None: the label files hold all slices."""
    objects: tuple[int, ...] = ()
    """Ids of single objects, where there are too many for classes; counted together as `OBJECT`."""
    masks_overlap: bool = False
    uncovered: int = 0
    """Labelled voxels in no mask."""

    @property
    def has_masks(self) -> bool:
        """Whether labels are a mask for each class."""
        return not isinstance(self.labels, str)

    @property
    def voxels(self) -> dict[int | str, int]:
        """Voxels of each id or mask."""
        return {id_: int(profile[0].sum()) for id_, profile in self.profiles.items()}


def look_at(
    raw: str, labels: str, base: Path, *, role: Role = "any", labelled: Sequence[int] | None = None, cut: str = ""
) -> Fingerprint:
    """Read a stack's header and all its labels.

    Args:
        raw, labels: locations as `open_source` takes them. Labels are ids, a folder with a mask (a file or a folder of
            slices) for each class, or such masks as ``name=location,name=location``.
        base: folder that relative paths start at.
        labelled: slices that have labels, where not all do.
        cut: level and box that are taken of the image and of all labels, as they stand behind a location.

    Raises:
        DataError: a file cannot be read, or the two do not belong together.
        InputError: fewer labelled slices than slices, and nothing says which they are.
    """
    with ExitStack() as opened:
        name, masks = _name(raw), {name: place + cut for name, place in _masks(labels, base).items()}
        raw, labels = raw + cut, labels + cut
        image = opened.enter_context(open_source(raw, base, TRUSTED))
        sources = {
            name: opened.enter_context(open_source(place, base, TRUSTED, gaps_allowed=True, labels=True))
            for name, place in (masks or {"": labels}).items()
        }
        slices = _labelled_slices(image, list(sources.values()), labelled)
        few_greys = _has_few_greys(image)
        found = _of_masks(sources, slices, image) if masks else _of_ids(sources[""], slices, image)
        if few_greys and found.get("objects"):
            raise InputError(
                f"{raw} has as few grey values as labels have ids, and {labels} as many ids as an image has greys: "
                "are they the wrong way round? The images come first"
            )
        return Fingerprint(
            name=name,
            raw=raw,
            labels=masks or labels,
            shape_zyx=image.shape_zyx,
            dtype=image.dtype.name,
            role=role,
            voxel_size_nm=image.voxel_size_nm,
            voxel_size_note=image.voxel_size_note,
            greys=measured(image),
            labelled_slices=None if len(slices) == image.shape_zyx[0] else tuple(slices),
            **found,
        )


def _masks(labels: str, base: Path) -> dict[str, str]:
    """Where the mask of each class is; empty for a volume of ids."""
    folder = base / labels
    if "=" in labels and not folder.exists():
        parts = [part.partition("=") for part in labels.split(",")]
        return _by_class([(name, place) for name, _, place in parts])
    if not folder.is_dir() or (folder / "zarr.json").exists() or (folder / ".zgroup").exists():
        return {}
    inner = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    folders = [path for path in inner if path.is_dir()]
    if len(folders) == len(inner) and folders and not (folder / ".zarray").exists():
        return _by_class([(path.name, str(Path(labels) / path.name)) for path in folders])
    return {}


def _by_class(masks: Sequence[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, place in masks:
        if found.setdefault(_slug(name), place) != place:
            raise InputError(f"{found[_slug(name)]} and {place} are both masks of {_slug(name)!r}; rename one")
    return found


def _labelled_slices(image: Source, labels: Sequence[Source], given: Sequence[int] | None) -> list[int]:
    depth, *plane = image.shape_zyx
    for each in labels:
        if each.shape_zyx[1:] != tuple(plane):
            raise DataError(
                f"labels {each.location} have slices of {each.shape_zyx[1]} x {each.shape_zyx[2]} pixels (y, x), but "
                f"{image.location} has {plane[0]} x {plane[1]}; export the labels in the size of the images"
            )
    depths = {each.shape_zyx[0] for each in labels}
    if given and max(given) >= depth:
        raise InputError(f"--labelled-slices names slice {max(given)}; those of {image.location} are 0 to {depth - 1}")
    if depths == {depth}:
        return list(range(depth)) if given is None else sorted(set(given))
    if len(depths) > 1:
        names = ", ".join(f"{each.location} has {each.shape_zyx[0]}" for each in labels)
        raise DataError(f"masks hold different numbers of slices: {names}; export all alike")
    (held,) = depths
    which = sorted(set(given)) if given is not None else _same_numbers(image, labels[0])
    if which is None or len(which) != held or which[-1] >= depth:
        raise InputError(
            f"{labels[0].location} holds {held} slices, but {image.location} holds {depth}; say which of these "
            "(from 0) are labelled: --labelled-slices 0-4,7"
        )
    return which


def _same_numbers(image: Source, labels: Source) -> list[int] | None:
    """Which slices have labels, by the last number in the names of two folders of slices."""
    numbers = [
        [int((re.findall(r"\d+", file.stem) or ["-1"])[-1]) for file in getattr(source, "files", ())]
        for source in (image, labels)
    ]
    ours, theirs = numbers
    if not theirs or len(set(ours)) < len(ours) or not set(theirs) <= set(ours):
        return None
    return [ours.index(number) for number in theirs]


def _of_ids(source: Source, slices: Sequence[int], image: Source) -> dict[str, Any]:
    seen: set[int] = set()
    for _, data in pieces(source):
        seen.update(np.unique(whole_numbers(data, source.location)).tolist())
    ids = sorted(seen)
    if ids[0] < 0:
        raise DataError(
            f"labels {source.location} hold the id {ids[0]}, and ids are 0 or more; save them with another one, such "
            "as 255, and say so where it means that nobody labelled these voxels (--ignore 255)"
        )
    objects = tuple(id_ for id_ in ids if id_) if len(ids) > MAX_OVERLAPPING else ()
    counted = [0, OBJECT] if objects else ids
    tally = _Tally(counted, source, slices, image)
    for block, data in pieces(source):
        values = whole_numbers(data, source.location)
        for id_ in counted:
            tally.add(id_, block.start_zyx, values != 0 if objects and id_ else values == id_)
    return {"profiles": tally.profiles, "objects": objects}


def _of_masks(sources: Mapping[str, Source], slices: Sequence[int], image: Source) -> dict[str, Any]:
    first = next(iter(sources.values()))
    tally = _Tally([*sources], first, slices, image)
    overlap, covered = False, 0
    depth = max(1, first.slices_at_once or 16)
    for start in range(0, first.shape_zyx[0], depth):
        stop = min(start + depth, first.shape_zyx[0])
        total = np.zeros((stop - start, *first.shape_zyx[1:]), np.uint8)
        for name, source in sources.items():
            inside = whole_numbers(source.read(start, stop), source.location) != 0
            tally.add(name, (start, 0, 0), inside)
            total += inside
        overlap |= bool((total > 1).any())
        covered += int(np.count_nonzero(total[tally.is_labelled[start:stop]]))
    uncovered = len(slices) * total[0].size - covered
    return {"profiles": tally.profiles, "masks_overlap": overlap, "uncovered": uncovered}


class _Tally:
    """Counts along the axes, at the slices of the image that the slices of the label files stand for."""

    def __init__(self, ids: Sequence[int | str], labels: Source, slices: Sequence[int], image: Source) -> None:
        depth = labels.shape_zyx[0]
        holds_all = depth == image.shape_zyx[0]
        self.at = list(range(depth)) if holds_all else list(slices)
        self.is_labelled = np.isin(np.arange(depth), slices) if holds_all else np.ones(depth, bool)
        self.profiles: dict[int | str, Profile] = {
            id_: (
                np.zeros(image.shape_zyx[0], np.int64),
                np.zeros(image.shape_zyx[1], np.int64),
                np.zeros(image.shape_zyx[2], np.int64),
            )
            for id_ in ids
        }

    def add(self, id_: int | str, start_zyx: Sequence[int], inside: NDArray[np.bool_]) -> None:
        """Count a block of the label files."""
        first, top, left = start_zyx
        depth, height, width = inside.shape
        inside = inside & self.is_labelled[first : first + depth, None, None]
        along_z, along_y, along_x = self.profiles[id_]
        along_z[self.at[first : first + depth]] += np.count_nonzero(inside, axis=(1, 2))
        along_y[top : top + height] += np.count_nonzero(inside, axis=(0, 2))
        along_x[left : left + width] += np.count_nonzero(inside, axis=(0, 1))


def _has_few_greys(image: Source) -> bool:
    """Whether there are no more grey values than labels have ids."""
    depth = image.shape_zyx[0]
    chosen = sorted({round(z) for z in np.linspace(0, depth - 1, min(depth, _GREY_SLICES))})
    values = np.concatenate([image.read(z, z + 1)[0, ::2, ::2].ravel() for z in chosen])
    if values.min() == values.max():
        raise DataError(f"{image.location}: every voxel looked at has the grey value {values.min()}; give the images")
    return len(np.unique(values)) <= MAX_OVERLAPPING


def _name(raw: str) -> str:
    """A name for a capture: that of its file, or of the folder around one that says only what it holds."""
    parts = [part for part in re.split(r"[/\\:]+", raw) if part not in ("", ".", "..")]
    stem = re.sub(r"(\.ome)?\.\w+$", "", parts[-1]) if parts else ""
    if re.fullmatch(r"(?i)raw|images?|imgs?|em|data|volume|slices|greys?", stem) and len(parts) > 1:
        stem = parts[-2]
    return _slug(stem)


def _slug(text: str) -> str:
    """A name that the configuration takes."""
    plain = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return (plain if plain[:1].isalpha() else f"stack_{plain}".rstrip("_"))[:40]
