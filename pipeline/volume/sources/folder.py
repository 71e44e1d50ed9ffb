"""A folder of PNG, TIFF, JPEG or DM slices, put in order by the number in their names."""

from __future__ import annotations

import re
import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from pipeline.errors import DataError
from pipeline.volume.sources import gatan, tiff
from pipeline.volume.sources.base import (
    COLOUR_CURE,
    Location,
    Opening,
    PagedFormat,
    as_grey,
    as_volume_shape,
    decoding,
    slice_of_run,
)
from pipeline.volume.sources.policy import DEFLATE_RATIO, refuse_lies
from pipeline.volume.sources.registry import register

_TYPES = {"1": "uint8", "L": "uint8", "P": "uint8", "I;16": "uint16", "I": "int32"}
_CHANNELS = {"LA": 2, "RGB": 3, "RGBA": 4}
# Pillow spreads samples of two and four bits over 0 to 255.
_SPREAD = {"L;2": 85, "L;4": 17}
JPEG = (".jpg", ".jpeg")
# Where the seven passes of an interlaced PNG begin (y, x), and the steps that they take.
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
_DIGITS = re.compile(r"\d+")
_NUMBERS = re.compile(r"\d+(?:\.\d+)?")
# A date and a time of day, which tell when a slice was taken and not which one it is.
_TIME_STAMP = re.compile(
    r"(?<!\d)(?:19|20)\d\d([-_.]?)[01]\d\1[0-3]\d[-_T .]?[0-2]\d[-_.h]?[0-5]\d[-_.m]?[0-5]\d(?!\d)"
)


@register
class FolderSource(PagedFormat):
    """Slices in files of one folder; all have one size and type, and their numbers have no gap."""

    name = "folder of PNG, TIFF, JPEG or DM slices"

    def __init__(self, location: Location, opening: Opening) -> None:
        assert location.path is not None
        self.location, self._labels = location.text, opening.labels
        numbers = in_order(image_files(location.path), gaps_allowed=opening.gaps_allowed, pattern=location.inner or "")
        self.files = list(numbers)
        if len(numbers) > 1:
            self.slice_numbers = tuple(numbers.values())
        headers = [(_header(file), file) for file in self.files]
        (shape, self.dtype), _ = headers[0]
        _check_equal(headers)
        if opening.labels and self.files[0].suffix.lower() in JPEG:
            raise DataError(f"{self.files[0]}: JPEG changes the ids of labels; save them as PNG or TIFF")
        with decoding(str(self.files[0])):
            if _has_channels(self.files[0]):
                self.page(0)  # colours are refused before any work
        self.shape_zyx = (len(self.files), *shape)

    @classmethod
    def accepts(cls, location: Location) -> bool:
        return location.path is not None and location.path.is_dir() and bool(_images(location.path))

    @classmethod
    def refuse_references(cls, location: Location) -> None:
        """PNG and JPEG have none; of a TIFF, only the first page is read, by itself."""

    def page(self, index: int) -> np.ndarray:
        return _read(self.files[index], labels=self._labels)

    def where(self, z: int) -> str:
        return f"{self.files[z]} (slice {z})"


def image_files(folder: Path) -> list[Path]:
    """The PNG, TIFF, JPEG or DM files of a folder; DataError when it holds several kinds."""
    files = _images(folder)
    kinds = Counter(_kind(file) for file in files)
    if len(kinds) > 1:
        counts = " and ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        raise DataError(f"{folder}: holds {counts} files; keep one stack in a folder of its own")
    return files


def _kind(file: Path) -> str:
    suffix = file.suffix.lower()
    return {".png": "PNG", **dict.fromkeys(JPEG, "JPEG"), **dict.fromkeys(gatan.SUFFIXES, "DM")}.get(suffix, "TIFF")


def in_order(files: Sequence[Path], *, gaps_allowed: bool = False, pattern: str = "") -> dict[Path, Decimal]:
    """Files by slice number, ascending.

    Args:
        files: of one folder.
        gaps_allowed: numbers may be missing.
        pattern: the part of a name around its number, as in ``z={}um``; where it is empty, the number is looked for.

    Raises:
        DataError: a number is doubled or (unless `gaps_allowed`) missing, or the names do not tell which number is the
            slice's; names the files.
    """
    numbers = _numbers_at(pattern, files) if pattern else _slice_numbers(files)
    ordered = sorted(zip(numbers, files, strict=True))
    step = _step([number for number, _ in ordered])
    for (number, file), (following, next_file) in pairwise(ordered):
        if number == following:
            raise DataError(f"{file} and {next_file.name}: both are slice {number}; remove or renumber one")
        if following > number + step and not gaps_allowed:
            several = following > number + 2 * step
            missing = f"{number + step} to {following - step}" if several else f"{number + step}"
            raise DataError(
                f"{file.parent}: slice {missing} is missing between {file.name} and {next_file.name}; "
                "restore it, or give the runs as captures of their own"
            )
    return {file: number for number, file in ordered}


def _images(folder: Path) -> list[Path]:
    suffixes = (".png", *JPEG, *tiff.SUFFIXES, *gatan.SUFFIXES)
    return sorted(f for f in folder.iterdir() if f.suffix.lower() in suffixes and not f.name.startswith("."))


def _slice_numbers(files: Sequence[Path]) -> list[Decimal]:
    if len(files) == 1:
        return [Decimal(0)]
    numbers, runs = _columns(files, _NUMBERS), _columns(files, _DIGITS)
    counting = [column for column in numbers if _counts(column)] or [column for column in runs if _counts(column)]
    if len({tuple(sorted(range(len(files)), key=column.__getitem__)) for column in counting}) > 1:
        raise DataError(
            f"{files[0]}: two numbers in the names count the slices, in different orders; say which one does, with "
            f"{{}} in its place, as in {files[0].parent.name}:/z={{}}um"
        )
    counting.sort(key=lambda column: not _is_whole(column))
    return counting[0] if counting else _last_that_varies(files, numbers, runs)


def _columns(files: Sequence[Path], number: re.Pattern[str]) -> list[list[Decimal]]:
    """The numbers at each place in the names, last place first; none where the names are not alike."""
    texts = [number.findall(_TIME_STAMP.sub("", file.stem)) for file in files]
    if len({len(each) for each in texts}) > 1:
        return []
    return [list(map(Decimal, column)) for column in reversed(list(zip(*texts, strict=True)))]


def _is_whole(column: Sequence[Decimal]) -> bool:
    return all(number == int(number) for number in column)


def _step(ordered: Sequence[Decimal]) -> Decimal:
    """From one slice to the next: one; of decimals, such as depths, the smallest difference."""
    if _is_whole(ordered):
        return Decimal(1)
    return min(following - number for number, following in pairwise(ordered))


def _counts(column: Sequence[Decimal]) -> bool:
    """Whether numbers follow each other step by step."""
    ordered = sorted(column)
    step = _step(ordered)
    return step > 0 and all(following - number == step for number, following in pairwise(ordered))


def _last_that_varies(
    files: Sequence[Path], numbers: Sequence[list[Decimal]], runs: Sequence[list[Decimal]]
) -> list[Decimal]:
    """The last number in which the names differ; with a point, one of equally many places is a decimal."""
    first = files[0]
    for file in files:
        if len(_DIGITS.findall(file.stem)) != len(_DIGITS.findall(first.stem)):
            raise DataError(f"{first} and {file.name} are named differently; name all slices alike, with a number")
    for columns in (numbers, runs):
        for column in columns:
            if len(set(column)) > 1 and len({number.as_tuple().exponent for number in column}) == 1:
                return column
    differ = "nothing but their time" if _TIME_STAMP.search(first.stem) else "no number"
    raise DataError(f"{first} and {files[1].name} differ in {differ}; number the slices in their names, without a gap")


def _numbers_at(pattern: str, files: Sequence[Path]) -> list[Decimal]:
    """The number of each file at the ``{}`` of a pattern."""
    before, mark, after = pattern.partition("{}")
    form = re.compile(f"{re.escape(before)}({_NUMBERS.pattern}){re.escape(after)}")
    found = [form.search(file.name) for file in files]
    for file, match in zip(files, found, strict=True):
        if not mark or match is None:
            raise DataError(
                f"{file}: has no number at the {{}} of {pattern!r}; give a part of the names, as in z={{}}um"
            )
    return [Decimal(match[1]) for match in found if match]


def _header(file: Path) -> tuple[tuple[int, int], np.dtype[Any]]:
    """Shape (y, x) and type of a slice, without decoding it."""
    with decoding(str(file)):
        if _kind(file) == "DM":
            stored = gatan.image_of(file)
            depth, height, width = as_volume_shape(stored.shape, str(file))
            if depth > 1:
                raise DataError(f"{file}: holds {depth} slices; give this file alone as a stack, or one slice a file")
            return (height, width), stored.dtype.newbyteorder("=")
        if _kind(file) != "TIFF":
            return _image_header(file)
        shape, dtype, pages = tiff.page_header(file)
        if pages > 1:
            raise DataError(f"{file}: holds {pages} pages; give this file alone as a stack, or one slice a file")
        if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] > 4):
            raise DataError(f"{file}: is a colour image; {COLOUR_CURE}")
        return (shape[0], shape[1]), dtype


def _has_channels(file: Path) -> bool:
    if _kind(file) == "DM":
        return False
    if _kind(file) == "TIFF":
        return len(tiff.page_header(file)[0]) > 2
    with _image(file) as image:
        return image.mode in _CHANNELS


def _image(file: Path) -> ImageFile:
    # Not Image.open, which refuses large sections as decompression bombs.
    return PngImageFile(file) if _kind(file) == "PNG" else JpegImageFile(file)


def _image_header(file: Path) -> tuple[tuple[int, int], np.dtype[Any]]:
    with _image(file) as image:
        dtype = np.dtype(_TYPES.get(image.mode, "uint8"))
        if image.mode == "P" and image.palette is None:
            raise DataError(f"{file}: its table of colours is missing; it is damaged, export it again")
        if image.mode not in (*_TYPES, *_CHANNELS) or (image.mode in _CHANNELS and "16" in str(_raw_mode(image))):
            raise DataError(f"{file}: is a colour image ({_raw_mode(image)}); {COLOUR_CURE}")
        pixel_bytes = dtype.itemsize * _CHANNELS.get(image.mode, 1)
        refuse_lies(str(file), image.height * image.width * pixel_bytes, file.stat().st_size, DEFLATE_RATIO)
        return (image.height, image.width), dtype


def _raw_mode(image: ImageFile) -> Any:
    """How the pixels are stored, which Pillow may bring to fewer bits, or spread over more."""
    arguments = image.tile[0].args if image.tile else image.mode
    return arguments[0] if isinstance(arguments, tuple) else arguments


def _read(file: Path, *, labels: bool) -> np.ndarray:
    if _kind(file) == "TIFF":
        return tiff.read_page(file, labels=labels)
    if _kind(file) == "DM":
        stored = gatan.image_of(file)
        return slice_of_run(file, stored.dtype, stored.offset, as_volume_shape(stored.shape, str(file)), 0)
    with _image(file) as image:
        spread = _SPREAD.get(str(_raw_mode(image)), 1) if labels else 1
        data = as_grey(np.asarray(image), str(file))
        if spread > 1:
            data = data // np.uint8(spread)
        table = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3) if image.mode == "P" else None
    if _kind(file) == "PNG" and not data[-2:].any(1).all():
        _check_rows(file)
    # Colours are for display, and of labels the indices count, as label editors write them; greys are grey values.
    if table is None or labels or (table != table[:, :1]).any():
        return data
    return np.asarray(np.pad(table[:, 0], (0, 256 - len(table)))[data])


def _check_rows(file: Path) -> None:
    """Raise DataError for a PNG of which rows are missing: Pillow leaves them black.

    Layout: PNG (third edition), 5.3 chunks, 7.2 scanlines, 8.1 interlacing.
    """
    content, place, stored = file.read_bytes(), 8, []
    while place < len(content):
        (length,) = struct.unpack_from(">I", content, place)
        if content[place + 4 : place + 8] == b"IDAT":
            stored.append(content[place + 8 : place + 8 + length])
        place += length + 12
    width, height, bits, colour = struct.unpack_from(">IIBB", content, 16)
    is_interlaced = content[28] == 1
    bits *= {2: 3, 4: 2, 6: 4}.get(colour, 1)
    needed = 0
    for y, x, y_step, x_step in _ADAM7 if is_interlaced else ((0, 0, 1, 1),):
        rows, columns = -(-(height - y) // y_step), -(-(width - x) // x_step)
        needed += rows * (1 + -(-columns * bits // 8)) if rows > 0 and columns > 0 else 0
    if len(zlib.decompressobj().decompress(b"".join(stored), needed)) < needed:
        raise DataError(f"{file}: truncated: its last rows are missing; copy or export it again")


def _check_equal(headers: Sequence[tuple[tuple[tuple[int, int], np.dtype[Any]], Path]]) -> None:
    (shape, dtype), first = headers[0]
    for (other_shape, other_dtype), file in headers:
        if other_shape != shape:
            raise DataError(
                f"{file}: {other_shape[0]} x {other_shape[1]} pixels (y, x), but {first.name} has "
                f"{shape[0]} x {shape[1]}; bring all slices to one size"
            )
        if other_dtype != dtype:
            raise DataError(f"{file}: {other_dtype}, but {first.name} is {dtype}; save all slices with one type")
