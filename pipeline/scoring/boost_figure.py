"""A window of a slice before and after boosting, side by side in the same size."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

_PANEL_INCHES = 4.0


def boost_figure(
    coarse_YX: NDArray[Any], fine_YX: NDArray[Any], *, voxel_size_nm: tuple[float, float, float], title: str
) -> Figure:
    """Return both windows with one grey scale; ``voxel_size_nm`` (z, y, x) is that of the fine one."""
    _, size_y, size_x = voxel_size_nm
    height_nm, width_nm = fine_YX.shape[0] * size_y, fine_YX.shape[1] * size_x
    figure = Figure(figsize=(2 * _PANEL_INCHES, _PANEL_INCHES * height_nm / width_nm + 0.6), layout="constrained")
    figure.suptitle(title, fontsize=10)
    low, high = min(coarse_YX.min(), fine_YX.min()), max(coarse_YX.max(), fine_YX.max())
    edges_um = (0, width_nm / 1000, height_nm / 1000, 0)
    axes = figure.subplots(1, 2)
    for axis, image in zip(axes, (coarse_YX, fine_YX), strict=True):
        axis.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest", extent=edges_um)
        axis.set_title(f"{image.shape[0]} × {image.shape[1]} pixels", fontsize=9)
        axis.set_xlabel("µm", fontsize=8)
        axis.tick_params(labelsize=8)
    return figure
