"""Which blocks a person should label next: those in doubt that are unlike what is labelled and unlike each other.

As in suggestive annotation (Yang et al., MICCAI 2017), a network's uncertainty says where it needs help, and how much
blocks resemble each other keeps the help from being asked for twice; as in core-set selection (Sener and Savarese, ICLR
2018) blocks are taken one after the other, each with regard to its distance from all that were taken before.

**Doubt** is the macro F1 that is expected to be lost in a block. A mean over voxels, as of their entropy, asks for the
borders of whatever is frequent; here each class counts alike, its errors divided by how much there is of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.volume.geometry import Block, ZyxNm

Features = NDArray[np.float64]
_LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class Suggestion:
    """A block to label.

    Args:
        block: where it lies.
        doubt: macro F1 that is expected to be lost in it, as a multiple of what an average block loses.
        unlike: distance from the nearest block that is labelled or was suggested before, in units of the median
            distance between blocks; None for the first where nothing is labelled.
    """

    block: Block
    doubt: float
    unlike: float | None


def look_of(grey_ZYX: NDArray[np.float32], shares_C: NDArray[np.float64]) -> Features:
    """What a block looks like: what it seems to hold, how bright it is, and how rough at two scales.

    Args:
        grey_ZYX: normalised grey values.
        shares_C: of the classes that were predicted in it.
    """
    rough = [
        float(np.abs(np.diff(grey_ZYX[..., ::step], axis=2)).mean()) for step in (1, 4) if grey_ZYX.shape[2] > step
    ]
    quantiles = np.quantile(grey_ZYX, (0.05, 0.5, 0.95))
    # The square root tells small shares apart (Hellinger distance).
    return np.concatenate([np.sqrt(shares_C), quantiles, rough])


def expected_errors(
    probability_CZYX: NDArray[np.float32], said_CZYX: NDArray[np.bool_], doubt_ZYX: NDArray[np.float32] | None = None
) -> NDArray[np.float64]:
    """Of a block, the share (C) of voxels in which each class is expected to be said wrongly or missed.

    Args:
        probability_CZYX: of each class.
        said_CZYX: the classes that are said.
        doubt_ZYX: how likely what is said is wrong, where that is known better than by the probabilities, which then
            only share it out among the classes.
    """
    errors_CZYX = np.where(said_CZYX, 1 - probability_CZYX, probability_CZYX)
    if doubt_ZYX is not None:
        errors_CZYX = errors_CZYX * (doubt_ZYX / np.maximum(errors_CZYX.max(axis=0), _LEAST_PROBABILITY))
    found: NDArray[np.float64] = errors_CZYX.mean(axis=(1, 2, 3), dtype=np.float64)
    return found


def doubts(errors_NC: NDArray[np.float64], sizes_NC: NDArray[np.float64]) -> NDArray[np.float64]:
    """The macro F1 that is expected to be lost in each block, as a multiple of the mean; 0 where none is.

    One minus F1 is errors over the sum of what is said and what is there: a class's sum over all blocks divides its
    errors in each.

    Args:
        errors_NC: see `expected_errors`.
        sizes_NC: of each class in each block, the share that is said plus the share that is expected.
    """
    size_C = sizes_NC.mean(axis=0)
    lost_N = (errors_NC[:, size_C > 0] / size_C[size_C > 0]).sum(axis=1)
    found: NDArray[np.float64] = lost_N / (lost_N.mean() or 1.0)
    return found


def choose(
    blocks: Sequence[Block],
    doubt_N: NDArray[np.float64],
    look_NF: Features,
    labelled_LF: Features,
    count: int,
    voxel_size_nm: ZyxNm,
) -> list[Suggestion]:
    """The blocks to label next, most useful first: each is the one whose doubt times its distance is greatest.

    What is further from all that is known than blocks usually are from each other is no better for being further: the
    most unlike blocks are damage and folds. Neighbours show the same things: what is nearer to a block taken before
    than that one is long counts for less.

    Args:
        blocks: those that can be labelled, of about one size.
        doubt_N: of each, see `doubts`.
        look_NF: what each looks like.
        labelled_LF: what the blocks look like that are labelled; (0, F) where none is.
        count: how many, at most.
    """
    if not blocks:
        return []
    every = np.concatenate([look_NF, labelled_LF])
    spread = every.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    look, labelled = look_NF / scale, labelled_LF / scale
    unit = _typical_distance(look)
    nearest, apart = np.full(len(blocks), np.inf), np.ones(len(blocks))
    starts_nm = np.array([block.start_zyx for block in blocks]) * np.array(voxel_size_nm)
    length_nm = max(edge * nm for edge, nm in zip(blocks[0].shape_zyx, voxel_size_nm, strict=True))
    for known in labelled:
        nearest = np.minimum(nearest, _distances(look, known) / unit)
    taken: list[Suggestion] = []
    for _ in range(min(count, len(blocks))):
        # Where nothing is known yet, doubt alone decides.
        worth = doubt_N * np.minimum(nearest, 1.0) * apart
        best = int(np.argmax(worth))
        if worth[best] <= 0:
            break
        unlike = float(nearest[best])
        taken.append(Suggestion(blocks[best], float(doubt_N[best]), unlike if np.isfinite(unlike) else None))
        nearest = np.minimum(nearest, _distances(look, look[best]) / unit)
        apart = np.minimum(apart, _distances(starts_nm, starts_nm[best]) / length_nm)
    return taken


def _distances(look_NF: Features, one_F: Features) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.sqrt(np.square(look_NF - one_F).sum(axis=1))
    return found


def _typical_distance(look_NF: Features) -> float:
    """Median distance of blocks from their centre: of a thousand of them, evenly."""
    some = look_NF[:: max(1, len(look_NF) // 1000)]
    return float(np.median(_distances(some, some.mean(axis=0)))) or 1.0
