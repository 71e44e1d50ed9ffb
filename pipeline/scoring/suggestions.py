"""Which blocks a person should label next: those in doubt that are unlike what is labelled and unlike each other.

As in suggestive annotation (Yang et al., MICCAI 2017), a network's uncertainty says where it needs help, and how much
blocks resemble each other keeps the help from being asked for twice; as in core-set selection (Sener and Savarese, ICLR
2018) blocks are taken one after the other, each with regard to its distance from all that were taken before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.volume.geometry import Block, ZyxNm

Features = NDArray[np.float64]


@dataclass(frozen=True)
class Suggestion:
    """A block to label.

    Args:
        block: where it lies.
        doubt: mean doubt of its voxels, 0 to 1.
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


def choose(
    blocks: Sequence[Block],
    doubt_N: NDArray[np.float64],
    look_NF: Features,
    labelled_LF: Features,
    count: int,
    voxel_size_nm: ZyxNm,
) -> list[Suggestion]:
    """The blocks to label next, most useful first: each is the one whose doubt times its distance is greatest.

    Neighbours show the same things: what is nearer to a block taken before than that one is long counts for less.

    Args:
        blocks: those that can be labelled, of about one size.
        doubt_N: mean doubt of each.
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
        worth = doubt_N * np.where(np.isfinite(nearest), nearest, 1.0) * apart
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
