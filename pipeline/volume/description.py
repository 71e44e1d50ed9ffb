"""What a file holds, told before anything is computed: as it states it, as it is read, and what was assumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import TypeAdapter

from pipeline.errors import DataError
from pipeline.formats import file_size
from pipeline.volume.geometry import Zyx, ZyxNm
from pipeline.volume.greymeter import measured
from pipeline.volume.greyvalues import SHARES, GreyValues
from pipeline.volume.sources import Policy, Source, open_source
from pipeline.volume.sources.base import Location
from pipeline.volume.sources.packed import OF_ANOTHER, PackedSource, extract, only_volume
from pipeline.volume.sources.registry import format_of, register_named
from pipeline.volume.streaming import ImageView, pieces

PREVIEW_PIXELS = 1024
"""Longest side of the slice that is shown."""
PREVIEW_BYTES = 2**28
"""A slice that takes more to decode is not shown."""


LISTED_IDS = 20
_FEW_IDS = 64


@dataclass(frozen=True)
class Remark:
    """What the user of a file should know: code: of its kind; cure: what to do, empty where there is nothing to."""

    code: str
    text: str
    cure: str = ""


@dataclass(frozen=True)
class Description:
    """A volume that can be read.

    location: as `open_source` takes it, with the part of the file that was chosen. kind: in words.
    axes_found: in the order of the file, where it names them. dtype: in the file; stored_dtype: as it is ingested.
    voxel_size_nm: z, y, x; None where the file does not state it. grey_values: of all of it, or of a sample.
    label_ids: id and number of voxels of the `LISTED_IDS` most frequent, label_count: of them all; None and 0
    where nobody asked. preview: the middle slice (y, x), thinned to `PREVIEW_PIXELS`, as ingested; None where a slice
    is too large to look at.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"arbitrary_types_allowed": True, "extra": "forbid"}
    """By which the answer of a process that is not trusted is checked."""

    location: str
    kind: str
    axes_found: str
    shape_zyx: Zyx
    dtype: str
    stored_dtype: str
    voxel_size_nm: ZyxNm | None
    grey_values: GreyValues
    remarks: tuple[Remark, ...]
    preview: np.ndarray | None
    label_ids: tuple[tuple[int, int], ...] | None = None
    label_count: int = 0

    @property
    def size_bytes(self) -> int:
        """Of all voxels, as ingested."""
        return prod(self.shape_zyx) * np.dtype(self.stored_dtype).itemsize

    @property
    def rows(self) -> dict[str, str]:
        """What it is, row by row, in words."""
        z, y, x = self.shape_zyx
        found = f"{self.axes_found} in the file, read as" if self.axes_found else "not named in the file, read as"
        size = self.voxel_size_nm
        rows = {
            "Kind": self.kind,
            "Size": f"{x} × {y} × {z} voxels (x, y, z)",
            "Axes": f"{found} z, y, x",
            "Voxels": f"{self.dtype}, {file_size(self.size_bytes)} in all",
            **({} if self.label_ids is not None else {"Grey values": self.grey_values.text}),
            "Voxel size": "the file does not say"
            if size is None
            else f"{' × '.join(f'{edge:g}' for edge in size)} nm (z, y, x), as the file states it",
        }
        if self.label_ids is not None:
            total = prod(self.shape_zyx)
            shares = ", ".join(f"{label} ({100 * count / total:.2g} %)" for label, count in self.label_ids)
            more = (
                f" and {self.label_count - len(self.label_ids)} more" if self.label_count != len(self.label_ids) else ""
            )
            rows["Label ids"] = f"{shares}{more}"
        return rows

    def as_json(self) -> dict[str, Any]:
        """All of it but the picture, as plain data."""
        return {key: value for key, value in asdict(self).items() if key != "preview"}

    def as_answer(self) -> dict[str, Any]:
        """All of it, as a confined process may answer."""
        return self.as_json() | {"preview": self.preview}

    @classmethod
    def of_answer(cls, answer: Any, what: str) -> Description:
        """The description that `as_answer` gave, whose tuples came as lists.

        Raises DataError, naming `what` was looked at, where it is none: the process is not to be believed.
        """
        try:
            found = _ANSWER.validate_python(answer)
            picture = found.preview
            if picture is not None and not (picture.ndim == 2 and 0 < picture.size <= PREVIEW_PIXELS**2):
                raise ValueError("its picture is none")
            if min(found.shape_zyx) < 1 or len(found.grey_values.quantiles) != len(SHARES):
                raise ValueError("it has no voxels")
            if not {np.dtype(name).kind for name in (found.dtype, found.stored_dtype)} <= set("buif"):
                raise ValueError("its voxels are no numbers")
            return found
        except (TypeError, ValueError) as error:
            raise DataError(f"{what}: cannot be read; the process that looked at it gave no proper answer") from error


_ANSWER = TypeAdapter(Description)


def inspect(
    place: str,
    policy: Mapping[str, Any],
    formats: Sequence[str],
    archive: str | None = None,
    unpack: bool = False,
    labels: bool = False,
    room_bytes: int | None = None,
    cut: str = "",
) -> dict[str, Any]:
    """What `describe` finds, as a confined process answers it.

    Args:
        place: the location; of an archive that was, or is to be, unpacked for good, the folder of its content.
        policy: as `Policy.as_json` gives it. formats: the registry's, as `format_names` gives them.
        archive: that archive. unpack: whether it is to be. labels: as `describe` takes it.
        room_bytes: what it may take of the disk when it is unpacked.
        cut: what is taken of the volume, as it stands behind a location; empty: all of it.
    """
    register_named(formats)
    allowed = Policy.of_json(policy)
    if archive is None:
        found = describe(place + cut, Path("/"), allowed, labels=labels)
    else:
        if unpack:
            extract(Path(archive), Path(place), allowed, room_bytes)
        inside = describe(only_volume(Path(place), Path(archive).name) + cut, Path(place), allowed.inside)
        found = replace(inside, kind=f"archive of one {inside.kind}")
    return found.as_answer()


def describe(location: str, base: Path, policy: Policy, *, labels: bool = False) -> Description:
    """Open a volume and look at it; of several volumes in one file, the largest is taken, and a remark says so.

    Args:
        location: as `open_source` takes it. base: the folder at which relative paths start.
        policy: what its files may do.
        labels: take voxels for ids and count them all.

    Raises:
        DataError: as `open_source` does.
    """
    place = Location.parse(location, base)
    candidate = format_of(place)
    kind, remarks = candidate.name.removesuffix(OF_ANOTHER), []
    parts = {} if place.inner else candidate.parts(place)
    if len(parts) > 1:
        largest = max(parts, key=lambda name: prod(parts[name]))
        whole = location.removesuffix(place.cut.text)
        location, kind = f"{whole}:/{largest}{place.cut.text}", f"{kind} /{largest}"
        remarks.append(
            Remark(
                "largest-of-several",
                f"Of {len(parts)} datasets in the file, the largest is taken.",
                f"Name another as FILE:/NAME: {', '.join(sorted(parts)[:LISTED_IDS])}.",
            )
        )
    with open_source(location, base, policy, labels=labels) as source:
        image = ImageView(source, 0, source.shape_zyx[0])
        values, ids = measured(source), _ids(source) if labels else None
        most = None if ids is None else sorted(ids.items(), key=lambda item: (-item[1], item[0]))[:LISTED_IDS]
        return Description(
            location=location,
            kind=kind,
            axes_found=source.axes_found,
            shape_zyx=image.shape_zyx,
            dtype=str(source.dtype),
            stored_dtype=str(image.dtype),
            voxel_size_nm=source.voxel_size_nm,
            grey_values=values,
            remarks=(*_remarks(image, source, values, labels), *remarks),
            preview=_preview(image),
            label_ids=None if most is None else tuple(most),
            label_count=len(ids or ()),
        )


def refuse_unreadable(file: Path) -> None:
    """Say at once what no reader has to find out: an empty file, or an archive that is none."""
    if file.stat().st_size == 0:
        raise DataError(f"{file.name} is empty (0 bytes); export the stack again")
    suffix = file.suffix.lower()
    with file.open("rb") as content:
        head = content.read(2)
    if suffix in PackedSource.suffixes and head != b"PK":
        raise DataError(
            f"{file.name} is not a zip file, although its name ends in {suffix}; pack the slices with your computer's "
            "own 'compress' or 'send to zip'"
        )


def _remarks(image: ImageView, source: Source, values: GreyValues, labels: bool) -> Iterator[Remark]:
    depth, height, width = image.shape_zyx
    if depth == 1:
        yield Remark("single-slice", "It is a single slice.")
    if min(height, width) < 32:
        yield Remark("tiny-slices", f"Its slices are tiny ({height} × {width} pixels).")
    if image.dtype != source.dtype and not labels:
        yield Remark("other-type", f"Its {source.dtype} voxels are kept as {image.dtype}.")
    if source.voxel_size_note:
        yield Remark("doubtful-voxel-size", source.voxel_size_note)
    if source.voxel_size_nm is None:
        yield Remark(
            "no-voxel-size",
            "It states no voxel size.",
            "Give --voxel-size-nm z,y,x, or voxel_size_nm in a configuration.",
        )
    if values.padding and not labels:
        yield Remark("padding", f"{100 * values.padding:.0f} % of its voxels are padding: all black, or all white.")
    if values.minimum == values.maximum:
        yield Remark("one-value", "Its voxels are all alike.", "Check that it is the right dataset or channel.")
    elif source.dtype.kind in "bui" and not labels and _looks_like_labels(source):
        yield Remark(
            "looks-like-labels", "It looks like labels: few ids, in areas.", "vemseg describe --labels counts its ids."
        )


def _looks_like_labels(source: Source) -> bool:
    """Few values, and mostly the same as their neighbour's: of the middle slice."""
    _, height, width = source.shape_zyx
    if height * width * source.dtype.itemsize > PREVIEW_BYTES or width < 2:
        return False
    middle = source.read(source.shape_zyx[0] // 2, source.shape_zyx[0] // 2 + 1)[0]
    found, counts = np.unique(middle, return_counts=True)
    left, right = middle[:, :-1], middle[:, 1:]
    inside = (left != found[counts.argmax()]) | (right != found[counts.argmax()])  # of the background says nothing
    alike = int(np.count_nonzero((left == right) & inside)) / max(1, int(np.count_nonzero(inside)))
    return bool(alike > 0.7 and found.size <= max(_FEW_IDS, middle.size // 1000))


def _ids(source: Source) -> dict[int, int]:
    """Voxels of each id. Raises DataError where voxels are no whole numbers."""
    found: dict[int, int] = {}
    for block, data in pieces(source):
        if data.dtype.kind == "f" and not (np.isfinite(data) & (data == np.floor(data))).all():
            raise DataError(f"{source.where(block.start_zyx[0])}: holds voxels that are no whole numbers: no label ids")
        for label, count in zip(*np.unique(data, return_counts=True), strict=True):
            found[int(label)] = found.get(int(label), 0) + int(count)
    return found


def _preview(image: ImageView) -> np.ndarray | None:
    depth, height, width = image.shape_zyx
    if height * width * image.dtype.itemsize > PREVIEW_BYTES:
        return None
    step = -(-max(height, width) // PREVIEW_PIXELS)
    middle = image.read(depth // 2, depth // 2 + 1)[0]
    return np.ascontiguousarray(middle[::step, ::step])
