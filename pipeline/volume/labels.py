"""From the ids or masks that someone drew to the class ids that vemseg stores, and back.

Stored ids of exclusive classes: 0 where nobody labelled, k for the k-th class (from 1). Labels that do not name all
classes have one id more, after those of the classes: of what is none of those that they name.
Stored bit masks of overlapping classes: bit 0 where somebody labelled, bit k where the voxel is of class k.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from pipeline.errors import ConfigError, DataError
from pipeline.volume.geometry import parts
from pipeline.volume.ngff import LabelClass

MAX_OVERLAPPING = 31
MAX_EXCLUSIVE = 2**16 - 1
OTHER_COLOR = "#808080"
"""Of what may be any of several classes."""


@dataclass(frozen=True)
class ClassMap:
    """The classes of a run and the ids by which label files name them.

    names, colors: one a class; colours are "#rrggbb".
    ids: the ids of each class in the label files (several are merged; empty where masks are used).
    ignore_ids: ids that mean "not labelled".
    exclusive: whether a voxel has one class; else it may have several.
    unlabelled: stored ids of the classes that these labels do not name. What they say is none of the others, by the id
    of one of these classes, by 0 or by no mask, may be any of them.

    Raises ConfigError when the parts contradict each other.
    """

    names: tuple[str, ...]
    colors: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    ignore_ids: tuple[int, ...] = ()
    exclusive: bool = True
    unlabelled: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) != len(self.names):
            raise ConfigError(f"class names {self.names}: give at least one, each once")
        if not len(self.names) == len(self.colors) == len(self.ids):
            raise ConfigError(f"{len(self.names)} class names need as many colours and lists of ids")
        wrong = [color for color in self.colors if not re.fullmatch("#[0-9a-fA-F]{6}", color)]
        if wrong:
            raise ConfigError(f"class colour {wrong[0]!r}: write it as #rrggbb")
        limit = MAX_EXCLUSIVE if self.exclusive else MAX_OVERLAPPING
        if len(self.names) > limit:
            raise ConfigError(f"{len(self.names)} classes; at most {limit} fit into one label volume")
        self._check_ids()

    def _check_ids(self) -> None:
        claimed: dict[int, str] = dict.fromkeys(self.ignore_ids, "the ignored ids")
        for name, ids in zip(self.names, self.ids, strict=True):
            for value in ids:
                if value in claimed and (self.exclusive or value in self.ignore_ids):
                    raise ConfigError(f"id {value} belongs to {claimed[value]} and to class {name!r}; list it once")
                claimed[value] = f"class {name!r}"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored volume: uint8, or uint16 beyond 255 classes; uint32 for overlapping classes."""
        if not self.exclusive:
            return np.dtype(np.uint32)
        return np.dtype(np.uint8 if len(self.names) + bool(self.unlabelled) <= 255 else np.uint16)

    @property
    def stored_values(self) -> tuple[int, ...]:
        """The stored id (overlapping: the bit) of each class, in order."""
        numbers = range(1, len(self.names) + 1)
        return tuple(numbers) if self.exclusive else tuple(1 << number for number in numbers)

    @property
    def label_classes(self) -> tuple[LabelClass, ...]:
        """(stored value, name, colour) of each class, as label volumes list them."""
        listed = tuple(zip(self.stored_values, self.names, self.colors, strict=True))
        if self.other <= len(self.names):
            return listed
        return (*listed, (self.other, " or ".join(self.names[number - 1] for number in self.unlabelled), OTHER_COLOR))

    @property
    def labelled(self) -> dict[str, int]:
        """The stored value of each class that these labels name."""
        values = enumerate(zip(self.names, self.stored_values, strict=True), 1)
        return {name: value for number, (name, value) in values if number not in self.unlabelled}

    @property
    def other(self) -> int:
        """The stored value of what is none of the classes that these labels name, and 0 where they name all.

        Of exclusive classes it is that of the only one that they do not name, if there is but one.
        """
        if not self.exclusive:
            return 1
        return self.unlabelled[0] if len(self.unlabelled) == 1 else (len(self.names) + 1) * bool(self.unlabelled)

    def encode(self, source_ids: np.ndarray, where: str) -> np.ndarray:
        """Stored ids for the ids of a label file, same shape (any).

        Raises DataError naming `where`, the ids and their number of voxels when an id belongs to no class.
        """
        data = whole_numbers(source_ids, where).reshape(-1)
        known, codes = self._codes(data.dtype)
        if data.size and not known.size:
            raise DataError(_unknown_ids_message(data, where))
        stored = np.empty(data.shape, self.dtype)
        unknown = []
        for part in parts(data):
            values = data[part]
            index = np.minimum(np.searchsorted(known, values), len(known) - 1)
            stored[part] = codes[index]
            unknown.append(values[known[index] != values])
        if any(values.size for values in unknown):
            raise DataError(_unknown_ids_message(np.concatenate(unknown), where))
        return stored.reshape(source_ids.shape)

    def encode_masks(self, masks: Sequence[np.ndarray | None], where: str) -> np.ndarray:
        """Stored ids for one mask a class (of one shape), not zero inside; a class given as None fills the rest.

        The classes are those that are named. Without one that fills, voxels in no mask count as not labelled when
        classes are exclusive and all of them named, and as labelled with none of them when they overlap. Raises
        DataError naming `where`, the classes and the number of voxels when masks of exclusive classes overlap.
        """
        inside = [None if mask is None else whole_numbers(mask, where) != 0 for mask in masks]
        drawn = [mask for mask in inside if mask is not None]
        if self.exclusive:
            self._check_disjoint(inside, where)
        rest = ~np.logical_or.reduce(drawn)
        stored = np.full(rest.shape, 0 if self.exclusive else 1, self.dtype)
        for value, mask in zip(self.labelled.values(), inside, strict=True):
            stored[rest if mask is None else mask] |= value
        if self.unlabelled:
            stored[stored == 0] = self.other
        return stored

    def decode(self, stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which class each voxel has, bool (class, *shape), and whether it is labelled at all, bool (*shape)."""
        values = np.array(self.stored_values, self.dtype).reshape(-1, *(1,) * stored.ndim)
        if self.exclusive:
            return stored == values, stored != 0
        return (stored & values) != 0, (stored & 1) != 0

    def count(self, stored: np.ndarray) -> np.ndarray:
        """Number of voxels (int64) not labelled, then surely of each class; shape (classes + 1,)."""
        flat = stored.reshape(-1)
        if self.exclusive:
            counts = np.zeros(len(self.names) + 1, np.int64)
            for part in parts(flat):
                counts += np.bincount(flat[part], minlength=counts.size)[: counts.size]
            return counts
        unlabelled = np.count_nonzero((flat & 1) == 0)
        return np.array([unlabelled, *(np.count_nonzero(flat & bit) for bit in self.stored_values)], np.int64)

    @cached_property
    def _code_of(self) -> dict[int, int]:
        """The stored id of each known source id."""
        labelled = 0 if self.exclusive else 1
        code_of = dict.fromkeys(self.ignore_ids, 0)
        for number, (value, ids) in enumerate(zip(self.stored_values, self.ids, strict=True), 1):
            for source_id in ids:
                code = self.other if number in self.unlabelled else value
                code_of[source_id] = code_of.get(source_id, labelled) | code
        if not code_of:
            raise ConfigError("no class lists an id; list the ids of each class, or give one mask file a class")
        if self.unlabelled:
            code_of.setdefault(0, self.other)
        return code_of

    def _codes(self, dtype: np.dtype[Any]) -> tuple[np.ndarray, np.ndarray]:
        """The source ids that label data of an integer type can hold, sorted and in this type, and their stored ids.

        NumPy searches int64 among uint64, or uint64 among int64, by way of float64, which has no room for ids above
        2**53.
        """
        limits = np.iinfo(dtype)
        fitting = sorted(source_id for source_id in self._code_of if limits.min <= source_id <= limits.max)
        return np.array(fitting, dtype), np.array([self._code_of[source_id] for source_id in fitting], self.dtype)

    def _check_disjoint(self, inside: Sequence[np.ndarray | None], where: str) -> None:
        drawn = [(name, mask) for name, mask in zip(self.labelled, inside, strict=True) if mask is not None]
        if np.add.reduce([mask for _, mask in drawn], dtype=np.uint16).max() <= 1:
            return
        for (name, mask), (other_name, other) in combinations(drawn, 2):
            shared = np.count_nonzero(mask & other)
            if shared:
                raise DataError(
                    f"{where}: masks of {name!r} and {other_name!r} overlap in {shared} voxels; "
                    "correct the masks, or make the classes overlapping"
                )


def _unknown_ids_message(unknown: np.ndarray, where: str) -> str:
    ids, counts = np.unique(unknown, return_counts=True)
    shown = ", ".join(f"{i} ({n} voxels)" for i, n in zip(ids[:10], counts[:10], strict=True))
    more = f" and {len(ids) - 10} more" if len(ids) > 10 else ""
    return f"{where}: ids {shown}{more} belong to no class; add them to a class or to the ignored ids"


def _holds(dtype: type[np.integer], low: np.floating, high: np.floating) -> bool:
    limits = np.iinfo(dtype)
    return limits.min <= int(low) and int(high) <= limits.max


def whole_numbers(data: np.ndarray, where: str) -> np.ndarray:
    """Label data as integers; floats are taken when they hold whole numbers. Raises DataError otherwise."""
    if data.dtype.kind in "bui":
        return data.astype(np.uint8) if data.dtype.kind == "b" else data
    if data.dtype.kind == "f" and np.isfinite(data).all() and (data == np.rint(data)).all():
        fitting = [kind for kind in (np.int64, np.uint64) if not data.size or _holds(kind, data.min(), data.max())]
        if fitting:
            return data.astype(fitting[0])
    raise DataError(f"{where}: labels of type {data.dtype} hold values that are no ids; save them as integers")
