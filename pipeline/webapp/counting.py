"""How much there is of each class, and in how many pieces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.scoring.instances import Ids, piece_sizes
from pipeline.volume.geometry import Block
from pipeline.volume.multiscale import Level

if TYPE_CHECKING:
    from pipeline.webapp.results import Result

MOST_VOXELS = 2**28
"""Pieces of a larger volume are counted on a coarser level."""
BLOCK_ZYX = (128, 256, 256)
SPECK_VOXELS = 64
"""Pieces below are specks, mostly noise, and counted apart; of voxels of the level that is counted."""
_CUBIC_MICROMETRE_NM3 = 1e9


@dataclass(frozen=True)
class ClassCount:
    """A class in a result.

    voxels: at full resolution, exactly. share: of all predicted voxels. pieces: connected (by faces) parts of
    at least `SPECK_VOXELS`; specks: the smaller ones; both as counted at pieces_level (0: full resolution).
    """

    number: int
    name: str
    color: str
    voxels: int
    volume_um3: float
    share: float
    pieces: int
    specks: int
    median_piece_um3: float
    pieces_level: int

    @staticmethod
    def read(path: Path) -> list[ClassCount]:
        """Those of a file that `write` wrote."""
        return [ClassCount(**fields) for fields in json.loads(path.read_text(encoding="utf-8"))]

    @staticmethod
    def write(counts: list[ClassCount], path: Path) -> None:
        """Keep them in a file."""
        path.write_text(json.dumps([asdict(count) for count in counts], indent=1), encoding="utf-8")


def class_counts(result: Result, known: Mapping[str, tuple[int, float]]) -> list[ClassCount]:
    """The counts of a result; the voxels of each class and their share, by name, are `known` already."""
    number, level = _level_to_count(result)
    sizes = _piece_sizes(result, level)
    voxel_um3 = prod(result.voxel_size_nm) / _CUBIC_MICROMETRE_NM3
    piece_voxel_um3 = prod(level.geometry.voxel_size_nm) / _CUBIC_MICROMETRE_NM3
    found = []
    for position, (_, name, color) in enumerate(result.classes, start=1):
        pieces = sizes.get(position, np.zeros(0, np.int64))
        large = pieces[pieces >= SPECK_VOXELS]
        voxels, share = known[name]
        found.append(
            ClassCount(
                number=position,
                name=name,
                color=color,
                voxels=voxels,
                volume_um3=voxels * voxel_um3,
                share=share,
                pieces=len(large),
                specks=len(pieces) - len(large),
                median_piece_um3=float(np.median(large)) * piece_voxel_um3 if len(large) else 0.0,
                pieces_level=number,
            )
        )
    return found


def _level_to_count(result: Result) -> tuple[int, Level]:
    levels = result.labels.levels
    small = (number for number, level in enumerate(levels) if level.geometry.block.voxels <= MOST_VOXELS)
    number = next(small, len(levels) - 1)
    return number, levels[number]


def _piece_sizes(result: Result, level: Level) -> dict[int, np.ndarray]:
    shape = level.geometry.shape_zyx
    if not result.overlapping:
        return dict(piece_sizes(level.read, shape, BLOCK_ZYX))
    found = {}
    for position, (value, _, _) in enumerate(result.classes, start=1):

        def members(block: Block, value: int = value) -> Ids:
            inside: Ids = ((level.read(block) & value) == value).astype(np.uint8)
            return inside

        found[position] = piece_sizes(members, shape, BLOCK_ZYX).get(1, np.zeros(0, np.int64))
    return found
