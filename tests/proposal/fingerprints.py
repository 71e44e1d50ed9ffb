"""Fingerprints of arrays, without files: what `look_at` would find."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.proposal.fingerprint import OBJECT, Fingerprint, Profile

OTHERS = {0: (1, 2), 1: (0, 2), 2: (0, 1)}


def profile(inside: NDArray[np.bool_]) -> Profile:
    """Counts along z, y, x."""
    along_z, along_y, along_x = (inside.sum(axis=OTHERS[axis]) for axis in range(3))
    return along_z, along_y, along_x


def stack_of(ids: NDArray[Any], *, objects: bool = False, **facts: Any) -> Fingerprint:
    """A stack whose labels are ids."""
    values = np.unique(ids).tolist()
    groups = {0: ids == 0, OBJECT: ids != 0} if objects else {value: ids == value for value in values}
    return _stack(
        ids.shape,
        {id_: profile(inside) for id_, inside in groups.items()},
        **{"labels": "labels.tif", "objects": tuple(value for value in values if value) if objects else (), **facts},
    )


def stack_of_masks(masks: Mapping[str, NDArray[np.bool_]], **facts: Any) -> Fingerprint:
    """A stack with a mask for each class."""
    total = np.sum([mask.astype(int) for mask in masks.values()], axis=0)
    return _stack(
        total.shape,
        {name: profile(mask) for name, mask in masks.items()},
        labels={name: f"{name}.tif" for name in masks},
        masks_overlap=bool((total > 1).any()),
        uncovered=int((total == 0).sum()),
        **facts,
    )


def _stack(shape: tuple[int, ...], profiles: dict[Any, Profile], **facts: Any) -> Fingerprint:
    z, y, x = shape
    given = {"name": "stack", "raw": "raw.tif", "voxel_size_nm": (10.0, 5.0, 5.0), **facts}
    return Fingerprint(shape_zyx=(z, y, x), dtype="uint8", profiles=profiles, **given)
