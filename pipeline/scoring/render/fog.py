"""Volume rendering of labels: every voxel is a drop of coloured fog."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.scoring.render.camera import Camera
from pipeline.scoring.render.offscreen import picture, stage
from pipeline.scoring.render.stills import put_box
from pipeline.scoring.render.surfaces import Style
from pipeline.scoring.slices import Rgb

_SOFTNESS_VOXELS = 0.6
"""Without it each voxel is a cube with hard edges."""
_OPAQUE_DEPTH = 0.06
"""Fog of full density is opaque after this share of the volume's mean side."""


def fog_picture(
    labels: NDArray[np.uint8],
    styles: Mapping[int, Style],
    voxel_size_nm: tuple[float, float, float],
    camera: Camera,
) -> Rgb:
    """Return a volume rendering of the labels (z, y, x) that have a style; its opacity is the fog's density."""
    import pyvista

    grid = pyvista.ImageData(dimensions=labels.shape[::-1], spacing=voxel_size_nm[::-1])
    grid.origin = tuple(size / 2 for size in voxel_size_nm[::-1])
    grid.point_data["fog"] = fog(labels, styles).reshape(-1, 4)
    mean_side_nm = prod(camera.size_nm) ** (1 / 3)
    with stage(camera, smooth=False) as plotter:
        plotter.add_volume(
            grid, scalars="fog", mapper="gpu", opacity_unit_distance=_OPAQUE_DEPTH * mean_side_nm, show_scalar_bar=False
        )
        put_box(plotter, camera.size_nm)
        return picture(plotter, camera)


def fog(labels: NDArray[np.uint8], styles: Mapping[int, Style]) -> NDArray[np.uint8]:
    """Return colour and density of each voxel, uint8 RGBA (z, y, x, 4)."""
    weights = {label: _softened(labels == label) for label in styles}
    total = np.maximum(np.sum(list(weights.values()), axis=0), 1e-6)
    rgba = np.zeros((*labels.shape, 4), np.float32)
    for label, weight in weights.items():
        color = np.frombuffer(bytes.fromhex(styles[label].color[1:]), np.uint8)
        rgba[..., :3] += (weight / total)[..., None] * color
        rgba[..., 3] += 255 * styles[label].opacity * weight
    return np.clip(np.rint(rgba), 0, 255).astype(np.uint8)


def _softened(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    softened: NDArray[np.float32] = ndimage.gaussian_filter(mask.astype(np.float32), _SOFTNESS_VOXELS)
    return softened
