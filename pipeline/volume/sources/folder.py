"""A folder of PNG or TIFF slices, put in order by the number in their names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL.PngImagePlugin import PngImageFile

from pipeline.errors import DataError
from pipeline.volume.sources import tiff
from pipeline.volume.sources.base import COLOUR_CURE, Location, PagedSource, decoding

_PNG_TYPES = {"1": "uint8", "L": "uint8", "P": "uint8", "I;16": "uint16", "I": "int32"}
_DIGITS = re.compile(r"(\d+)")


class FolderSource(PagedSource):
    """Slices in files of one folder; all have one size and type, and their numbers have no gap."""

    def __init__(self, location: Location, *, gaps_allowed: bool = False) -> None:
        assert location.path is not None
        self.location = location.text
        self.files = in_order(image_files(location.path), gaps_allowed=gaps_allowed)
        headers = [(_header(file), file) for file in self.files]
        (shape, self.dtype), _ = headers[0]
        _check_equal(headers)
        self.shape_zyx = (len(self.files), *shape)

    @staticmethod
    def accepts(location: Location) -> bool:
        return location.path is not None and location.path.is_dir() and bool(_images(location.path))

    def page(self, z: int) -> np.ndarray:
        return _read(self.files[z])

    def where(self, z: int) -> str:
        return f"{self.files[z]} (slice {z})"


def image_files(folder: Path) -> list[Path]:
    """The PNG or the TIFF files of a folder; DataError when it holds both."""
    files = _images(folder)
    kinds = Counter(".png" if file.suffix.lower() == ".png" else ".tif" for file in files)
    if len(kinds) > 1:
        raise DataError(
            f"{folder}: holds {kinds['.png']} PNG and {kinds['.tif']} TIFF files; keep one stack in a folder of its own"
        )
    return files


def in_order(files: Sequence[Path], *, gaps_allowed: bool = False) -> list[Path]:
    """Files sorted by slice number: the last run of digits in which their names differ.

    Raises DataError naming the files when a number is doubled or (unless `gaps_allowed`) missing, or when the
    names do not number the slices.
    """
    numbers = _slice_numbers(files)
    ordered = sorted(zip(numbers, files, strict=True))
    for (number, file), (following, next_file) in pairwise(ordered):
        if number == following:
            raise DataError(f"{file} and {next_file.name}: both are slice {number}; remove or renumber one")
        if following > number + 1 and not gaps_allowed:
            missing = str(number + 1) if following == number + 2 else f"{number + 1} to {following - 1}"
            raise DataError(
                f"{file.parent}: slice {missing} is missing between {file.name} and {next_file.name}; "
                "restore it, or give the runs as captures of their own"
            )
    return [file for _, file in ordered]


def _images(folder: Path) -> list[Path]:
    suffixes = (".png", *tiff.SUFFIXES)
    return sorted(f for f in folder.iterdir() if f.suffix.lower() in suffixes and not f.name.startswith("."))


def _slice_numbers(files: Sequence[Path]) -> list[int]:
    if len(files) == 1:
        return [0]
    runs = [_DIGITS.findall(file.stem) for file in files]
    for file, digits in zip(files, runs, strict=True):
        if len(digits) != len(runs[0]):
            raise DataError(f"{files[0]} and {file.name} are named differently; name all slices alike, with a number")
    varying = [position for position, values in enumerate(zip(*runs, strict=True)) if len(set(values)) > 1]
    if not varying:
        raise DataError(f"{files[0]} and {files[1].name} differ in no number; number the slices in their names")
    return [int(digits[varying[-1]]) for digits in runs]


def _header(file: Path) -> tuple[tuple[int, int], np.dtype[Any]]:
    """Shape (y, x) and type of a slice, without decoding it."""
    with decoding(str(file)):
        if file.suffix.lower() == ".png":
            return _png_header(file)
        shape, dtype, pages = tiff.page_header(file)
        if pages > 1:
            raise DataError(f"{file}: holds {pages} pages; give this file alone as a stack, or one slice a file")
        if len(shape) != 2:
            raise DataError(f"{file}: is a colour image; {COLOUR_CURE}")
        return (shape[0], shape[1]), dtype


def _png_header(file: Path) -> tuple[tuple[int, int], np.dtype[Any]]:
    # Not Image.open, which refuses large sections as decompression bombs.
    with PngImageFile(file) as image:
        if image.mode not in _PNG_TYPES:
            raise DataError(f"{file}: is a colour image ({image.mode}); {COLOUR_CURE}")
        return (image.height, image.width), np.dtype(_PNG_TYPES[image.mode])


def _read(file: Path) -> np.ndarray:
    if file.suffix.lower() != ".png":
        return tiff.read_page(file)
    with PngImageFile(file) as image:
        # Colours of a palette are for display; the values are its indices, as label editors write them.
        return np.asarray(image)


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
