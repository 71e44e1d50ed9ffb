"""From where a volume is seen: a parallel projection, in which a length is the same at every depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.volume.geometry import ZyxNm

_MARGIN = 1.06

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """A view of a box of `size_nm` (z, y, x) in a picture of `pixels` (width, height), which the box fits into."""

    size_nm: ZyxNm
    pixels: tuple[int, int]
    degrees_around: float = 30.0
    """By how much the eye is turned to the right, about the vertical axis."""
    degrees_above: float = 25.0
    nm_a_pixel: float | None = None
    """None: as few as the box allows."""

    @property
    def centre(self) -> Vector:
        """The middle of the box, x, y, z in nm."""
        return np.array(self.size_nm[::-1]) / 2

    @property
    def towards_eye(self) -> Vector:
        """The direction (x, y, z) from the centre to the eye; slices are seen from before, where z is negative."""
        around, above = np.deg2rad([self.degrees_around, self.degrees_above])
        return np.array([np.cos(above) * np.sin(around), -np.sin(above), -np.cos(above) * np.cos(around)])

    @property
    def right_and_up(self) -> tuple[Vector, Vector]:
        """The directions of the picture's axes in the volume."""
        right = np.cross(self.towards_eye, (0.0, 1.0, 0.0))
        right /= np.linalg.norm(right)
        return right, np.cross(self.towards_eye, right)

    @property
    def extent_nm(self) -> tuple[float, float]:
        """Width and height of the box as it is seen."""
        right, up = self.right_and_up
        size_xyz = np.array(self.size_nm[::-1])
        return float(np.abs(right) @ size_xyz), float(np.abs(up) @ size_xyz)

    @property
    def scale(self) -> float:
        """Nanometres a pixel."""
        if self.nm_a_pixel is not None:
            return self.nm_a_pixel
        return _MARGIN * max(extent / side for extent, side in zip(self.extent_nm, self.pixels, strict=True))


def fitted(size_nm: ZyxNm, longest: int) -> Camera:
    """Return the oblique camera whose picture has the shape of what is seen, its longer side `longest` pixels."""
    width_nm, height_nm = Camera(size_nm, (1, 1)).extent_nm
    unit = longest / max(width_nm, height_nm)
    return Camera(size_nm, (max(round(width_nm * unit), longest // 4), max(round(height_nm * unit), longest // 4)))


def turning(size_nm: ZyxNm, longest: int, frames: int) -> list[Camera]:
    """Return cameras all around the vertical axis, of one scale, into whose pictures the box always fits."""
    views = [Camera(size_nm, (1, 1), degrees_around=30 + 360 * i / frames) for i in range(frames)]
    widest, highest = (max(view.extent_nm[axis] for view in views) for axis in (0, 1))
    scale = _MARGIN * max(widest, highest) / longest
    pixels = max(round(_MARGIN * widest / scale), 3 * longest // 4), round(_MARGIN * highest / scale)
    return [Camera(size_nm, pixels, view.degrees_around, nm_a_pixel=scale) for view in views]
