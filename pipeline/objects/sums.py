"""Sums over objects and over pairs that touch: those of the parts of a volume add up to those of the whole.

All are whole numbers, least or greatest values: they come out the same whatever the parts and their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.objects.grouping import Keys, grouped
from pipeline.objects.pieces import Numbers

Pair = tuple[str, str]
PRODUCTS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
"""The axes of each product of positions: zz, yy, xx, zy, zx, yx."""
VOXELS, POSITIONS, SQUARES, CUT, CROSSINGS = slice(0, 1), slice(1, 4), slice(4, 10), slice(10, 13), slice(13, 26)
"""Where each kind of sum stands in a row of `ObjectSums.totals`."""


@dataclass(frozen=True)
class ObjectSums:
    """The objects of one class: a row each, by rising id. All positions are voxels of the volume."""

    ids: Keys
    """Shape (objects, 1)."""
    totals: Numbers
    """Voxels, sums of z, y, x and of their products, faces at the volume's, crossings; modulo 2**64; (objects, 26)."""
    low: Numbers
    """The first voxel along each axis, shape (objects, 3)."""
    high: Numbers
    """One past the last voxel along each axis, shape (objects, 3)."""
    nearest_nm: NDArray[np.float64]
    """To membrane and to another class, between centres of voxels; infinite beyond the limit; (objects, 2)."""

    @classmethod
    def none(cls) -> ObjectSums:
        """Those of a volume without objects."""
        totals, ends = np.zeros((0, CROSSINGS.stop), np.int64), np.zeros((0, 3), np.int64)
        return cls(np.zeros((0, 1), np.uint64), totals, ends, ends, np.zeros((0, 2)))

    def __add__(self, other: ObjectSums) -> ObjectSums:
        """Those of two parts of a volume that share no voxel."""
        joins = (np.add, np.minimum, np.maximum, np.minimum)
        columns = zip(joins, _columns(self), _columns(other), strict=True)
        ids = np.concatenate([self.ids, other.ids])
        keys, values = grouped(ids, [(join, np.concatenate([a, b])) for join, a, b in columns])
        return ObjectSums(keys, *values)


def _columns(sums: ObjectSums) -> tuple[NDArray[np.int64] | NDArray[np.float64], ...]:
    return sums.totals, sums.low, sums.high, sums.nearest_nm


@dataclass(frozen=True)
class Contacts:
    """Objects that touch, of two classes or of one: a row a pair."""

    ids: Keys
    """Of the first and of the second class; of one class, the lower id first; shape (pairs, 2)."""
    faces: Numbers
    """Faces of voxels across z, y and x with one object on either side, shape (pairs, 3)."""

    @classmethod
    def none(cls) -> Contacts:
        """Nothing touches."""
        return cls(np.zeros((0, 2), np.uint64), np.zeros((0, 3), np.int64))

    def __add__(self, other: Contacts) -> Contacts:
        """Those of two parts of a volume that share no voxel."""
        faces = np.concatenate([self.faces, other.faces])
        keys, (total,) = grouped(np.concatenate([self.ids, other.ids]), [(np.add, faces)])
        return Contacts(keys, total)


@dataclass(frozen=True)
class Measured:
    """What was counted in some part of a volume."""

    objects: Mapping[str, ObjectSums]
    """By class."""
    contacts: Mapping[Pair, Contacts] = field(default_factory=dict)
    """By pair of classes, in their order in `objects`."""

    def __add__(self, other: Measured) -> Measured:
        """Those of two parts of a volume that share no voxel, in any order."""
        return Measured(
            {name: sums + other.objects[name] for name, sums in self.objects.items()},
            {pair: contacts + other.contacts[pair] for pair, contacts in self.contacts.items()},
        )


def packed(measured: Measured) -> dict[str, NDArray[Any]]:
    """What was counted as named arrays, which `unpacked` makes it of again."""
    arrays: dict[str, NDArray[Any]] = {}
    for number, sums in enumerate(measured.objects.values()):
        arrays |= {f"objects_{number}_{name}": getattr(sums, name) for name in _OF_OBJECTS}
    for number, contacts in enumerate(measured.contacts.values()):
        arrays |= {f"contacts_{number}_{name}": getattr(contacts, name) for name in _OF_CONTACTS}
    return arrays


def unpacked(arrays: Mapping[str, NDArray[Any]], like: Measured) -> Measured:
    """What was packed, of the classes and pairs of another."""
    objects = {
        key: ObjectSums(*(arrays[f"objects_{number}_{name}"] for name in _OF_OBJECTS))
        for number, key in enumerate(like.objects)
    }
    pairs = {
        key: Contacts(*(arrays[f"contacts_{number}_{name}"] for name in _OF_CONTACTS))
        for number, key in enumerate(like.contacts)
    }
    return Measured(objects, pairs)


_OF_OBJECTS = tuple(each.name for each in fields(ObjectSums))
_OF_CONTACTS = tuple(each.name for each in fields(Contacts))
