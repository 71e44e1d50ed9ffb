"""A part of a volume, named behind its location: ``[level N]`` of a pyramid, and a box ``[z0:z1,y0:y1,x0:x1]``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.errors import DataError, InputError
from pipeline.volume.geometry import Block, Zyx, ZyxNm, zyx

_NUMBER = r"\d+(?:\.\d+)?"
_BOX = re.compile(rf"(?P<ends>{_NUMBER}:{_NUMBER},{_NUMBER}:{_NUMBER},{_NUMBER}:{_NUMBER})(?P<nm> ?nm)?")
_CUT = re.compile(rf"(?P<text>(?:\[level (?P<level>\d+)\])?(?:\[(?P<box>{_BOX.pattern})\])?)$")


@dataclass(frozen=True)
class Cut:
    """What of a volume is taken.

    level: of the pyramid; 0 is the finest. ends: start and stop (excluded) along z, y and x, in voxels of that level or
    in nm; none take all. text: as it was written.
    """

    level: int = 0
    ends: tuple[tuple[float, float], ...] = ()
    in_nm: bool = False
    text: str = ""

    @classmethod
    def split(cls, location: str) -> tuple[str, Cut]:
        """A location without the cut behind it, and the cut."""
        match = _CUT.search(location)
        if match is None or not match["text"]:
            return location, cls()
        ends = tuple(
            (float(start), float(stop))
            for start, _, stop in (axis.partition(":") for axis in (match["ends"] or "").split(",") if axis)
        )
        return location[: match.start()], cls(int(match["level"] or 0), ends, match["nm"] is not None, match["text"])

    def block(self, shape_zyx: Zyx, size_nm: ZyxNm | None, where: str) -> Block | None:
        """The box in voxels; None where all is taken. Raises DataError when it leaves the volume."""
        if not self.ends:
            return None
        if self.in_nm and size_nm is None:
            raise DataError(f"{where}: the box is in nm, but the file states no voxel size; give it in voxels")
        edges = size_nm if self.in_nm and size_nm else (1.0, 1.0, 1.0)
        voxels = [[end / edge for end in pair] for pair, edge in zip(self.ends, edges, strict=True)]
        if not self.in_nm and any(end % 1 for pair in voxels for end in pair):
            raise DataError(f"{where}: the ends of a box are whole voxels; write nm behind it if they are nanometres")
        starts, stops = (zyx([round(pair[side]) for pair in voxels], "box") for side in (0, 1))
        try:
            block = Block(starts, stops)
        except InputError as error:
            raise DataError(f"{where}: the box holds no voxel; each stop must exceed its start") from error
        if not Block.of_shape(shape_zyx).contains(block):
            raise DataError(f"{where}: the box ends at {stops}, the volume at {shape_zyx} (z, y, x, in voxels)")
        return block


ALL = Cut()


def box_of(text: str) -> Cut:
    """The cut that a box is. Raises InputError where it cannot be read."""
    if not _BOX.fullmatch(text):
        raise InputError(
            f"box {text}: write it as z0:z1,y0:y1,x0:x1 in voxels, such as 0:20,100:400,100:400, or with nm "
            "behind it in nanometres"
        )
    return Cut.split(f"[{text}]")[1]


def cut_text(level: int, box: str) -> str:
    """What stands behind a location of which a level (0: the finest) and a box (empty: all) are taken.

    Raises InputError for a box that cannot be read.
    """
    if box:
        box_of(box)
    return (f"[level {level}]" if level else "") + (f"[{box}]" if box else "")
