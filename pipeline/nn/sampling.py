"""Where training patches lie, and which of them make a batch in which no class is missing.

A class of 0.3 % of the voxels is absent from most patches drawn at random, and its network learns to never predict
it. So candidate centres are drawn class by class, and each batch is put together as a greedy cover: the first patch
must hold the rarest class, the next the rarest class that is still missing, and so on; what room is left is filled at
random.

Everything is a function of (seed, step) or (seed, index) alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError, InputError
from pipeline.volume.geometry import Block, Zyx, zyx

Scalar = TypeVar("Scalar", bound=np.generic)

# A patch may be turned by any angle: what counts as inside it is what stays inside.
INSCRIBED = 0.7
_MOST_SHARINGS = 200
JITTER = 0.25
"""How far, as a share of the patch's edge, a patch's centre may lie from the voxel that it was drawn for."""


@dataclass(frozen=True)
class LabelledBox:
    """Voxels to train on, in memory: grey values and stored class ids of one shape (z, y, x)."""

    image: NDArray[Any]
    labels: NDArray[Any]


@dataclass(frozen=True)
class Candidates:
    """Centres of patches and what they hold."""

    boxes: NDArray[np.int64]
    """(n,): index of the labelled box."""
    centres_zyx: NDArray[np.int64]
    """(n, 3): centre voxel within the box."""
    class_voxels: NDArray[np.int64]
    """(n, classes): labelled voxels of each class around the centre."""


def inscribed(patch_zyx: Zyx) -> Zyx:
    """What of a patch is counted."""
    return zyx([max(1, int(edge * INSCRIBED)) for edge in patch_zyx], "patch")


def draw_candidates(
    boxes: Sequence[LabelledBox],
    *,
    count: int,
    patch_zyx: Zyx,
    n_classes: int,
    exclusive: bool,
    seed: int,
    untold: int = 0,
) -> Candidates:
    """Draw patch centres, the classes in turn, and a last share anywhere that is labelled.

    Args:
        untold: how many ids follow those of classes; they are counted, and not drawn for.

    Raises DataError when no voxel is labelled at all.
    """
    rng = np.random.default_rng([seed, 1])
    positions = [_class_positions(boxes, class_id, exclusive) for class_id in range(1, n_classes + 1)]
    positions.append(_labelled_positions(boxes, exclusive))
    if not len(positions[-1]):
        raise DataError("no voxel of the training part is labelled; check the labels and the split")
    present = [where for where in positions if len(where)]
    drawn = np.stack([where[rng.integers(len(where))] for where in (present[i % len(present)] for i in range(count))])
    jitter = [int(JITTER * edge) for edge in patch_zyx]
    shifts = np.stack([rng.integers(-edge, edge + 1, size=count) for edge in jitter], axis=1)
    limits = np.array([boxes[index].labels.shape for index in drawn[:, 0]])
    centres = np.clip(drawn[:, 1:] + shifts, 0, limits - 1)
    counts = [
        _counts_around(boxes[box].labels, centre, patch_zyx, n_classes + untold, exclusive)
        for box, centre in zip(drawn[:, 0], centres, strict=True)
    ]
    return Candidates(drawn[:, 0], centres, np.stack(counts))


def choose_batch(
    class_voxels: NDArray[np.int64], *, cover: Sequence[int], batch_size: int, seed: int, step: int
) -> list[int]:
    """Choose the samples of a batch so that the rarest classes are in it.

    Args:
        class_voxels: (n, classes), what each sample holds.
        cover: indices of the classes to cover, rarest first.
        batch_size: samples to choose.

    Returns:
        Indices of samples, ``batch_size`` of them.
    """
    rng = np.random.default_rng([seed, 2, step])
    chosen: list[int] = []
    for wanted in cover:
        if len(chosen) == batch_size:
            break
        if any(class_voxels[index, wanted] for index in chosen):
            continue
        holding = np.flatnonzero(class_voxels[:, wanted])
        if len(holding):
            chosen.append(int(holding[rng.integers(len(holding))]))
    while len(chosen) < batch_size:
        chosen.append(int(rng.integers(len(class_voxels))))
    return chosen


def _class_positions(boxes: Sequence[LabelledBox], class_id: int, exclusive: bool) -> NDArray[np.int64]:
    """Rows (box, z, y, x) of the voxels of a class."""
    return _positions([box.labels == class_id if exclusive else (box.labels >> class_id & 1) > 0 for box in boxes])


def _labelled_positions(boxes: Sequence[LabelledBox], exclusive: bool) -> NDArray[np.int64]:
    return _positions([box.labels > 0 if exclusive else (box.labels & 1) > 0 for box in boxes])


# Enough to draw from without keeping the coordinates of every cytosol voxel.
_MAX_POSITIONS = 200_000


def _positions(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.int64]:
    rows = []
    for index, mask in enumerate(masks):
        flat = np.flatnonzero(mask)
        flat = flat[:: max(1, len(flat) * len(masks) // _MAX_POSITIONS)]
        rows.append(np.stack([np.full(len(flat), index), *np.unravel_index(flat, mask.shape)], axis=1))
    return np.concatenate(rows)


def _counts_around(
    labels: NDArray[Any], centre: NDArray[np.int64], patch_zyx: Zyx, n_classes: int, exclusive: bool
) -> NDArray[np.int64]:
    inside_zyx = inscribed(patch_zyx)
    around = Block.of_shape(inside_zyx).shift([int(c) - edge // 2 for c, edge in zip(centre, inside_zyx, strict=True)])
    inside = around.intersect(Block.of_shape(labels.shape))
    assert inside is not None
    return class_counts(labels[inside.slices], n_classes, exclusive)


def class_counts(labels: NDArray[Any], n_classes: int, exclusive: bool) -> NDArray[np.int64]:
    """Voxels of each class in stored ids; classes that overlap count each voxel for all of them."""
    if exclusive:
        return np.bincount(labels.ravel(), minlength=n_classes + 1)[1 : n_classes + 1].astype(np.int64)
    return np.array([np.count_nonzero(labels >> k & 1) for k in range(1, n_classes + 1)], np.int64)


def class_shares(
    class_voxels: NDArray[np.int64], sample_voxels: int, exclusive: bool, untold: Sequence[Sequence[int]] = ()
) -> list[float]:
    """The share of each class in what samples hold.

    Classes that overlap do not add up to what is labelled: there all voxels are taken to be. Of exclusive ones, voxels
    that may be of any of several are shared out among them as these are frequent: the likeliest shares.

    Args:
        class_voxels: (n, ids), what each sample holds: of classes, then of each kind that leaves classes untold.
        sample_voxels: of a sample.
        untold: the ids of classes of each such kind.
    """
    of_id = class_voxels.sum(axis=0)
    of_class, of_kind = np.split(of_id, [class_voxels.shape[1] - len(untold)])
    members = [np.isin(np.arange(1, len(of_class) + 1), ids) for ids in untold]
    of_all: Any = of_id.sum() if exclusive else len(class_voxels) * sample_voxels
    if not exclusive:
        of_all = of_all - sum((is_one * voxels for is_one, voxels in zip(members, of_kind, strict=True)), start=0)
        return [float(share) for share in of_class / np.maximum(of_all, 1)]
    shares = of_class / max(of_class.sum(), 1)
    for _ in range(_MOST_SHARINGS if untold else 0):
        known = shares
        shares = of_class / max(of_all, 1)
        for is_one, voxels in zip(members, of_kind, strict=True):
            among = is_one * known if (is_one * known).any() else is_one
            shares = shares + voxels / max(of_all, 1) * among / among.sum()
    return [float(share) for share in shares]


def cut_source_patch(
    image_CZYX: NDArray[np.float32], labels_ZYX: NDArray[Scalar], start_zyx: Sequence[int], shape_zyx: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[Scalar]]:
    """The source patch that starts at `start_zyx` (negative: before the capture's first voxel), copied.

    Beyond the capture the image is its mirror image, edge voxel not repeated, and the labels are 0: not labelled,
    so that no loss is computed there. The mirror repeats as often as a thin capture needs. InputError when image
    and labels differ in shape.
    """
    if image_CZYX.shape[1:] != labels_ZYX.shape:
        raise InputError(f"image {image_CZYX.shape[1:]} and labels {labels_ZYX.shape} must have the same shape")
    image, labels = image_CZYX, labels_ZYX
    for axis, (start, length) in enumerate(zip(start_zyx, shape_zyx, strict=True)):
        index = np.arange(start, start + length)
        size = labels_ZYX.shape[axis]
        if start >= 0 and start + length <= size:
            image = image[(slice(None),) * (axis + 1) + (slice(start, start + length),)]
            labels = labels[(slice(None),) * axis + (slice(start, start + length),)]
            continue
        mirrored = _mirror(index, size)
        image, labels = image.take(mirrored, axis + 1), labels.take(mirrored, axis)
        outside = (index < 0) | (index >= size)
        labels[(slice(None),) * axis + (outside,)] = 0
    return np.array(image, order="C"), np.array(labels, order="C")


def _mirror(index: NDArray[np.int_], size: int) -> NDArray[np.int_]:
    """Folds any index into [0, size): ... 2 1 0 1 2 ... size-1 size-2 ..."""
    period = max(2 * (size - 1), 1)
    folded = index % period
    return np.minimum(folded, period - folded) if size > 1 else np.zeros_like(index)
