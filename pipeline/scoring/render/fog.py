"""Volume rendering of labels: every voxel is a drop of coloured fog, through which the ones behind it are seen."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.scoring.render.camera import Camera
from pipeline.scoring.render.offscreen import picture, stage
from pipeline.scoring.render.stills import put_box
from pipeline.scoring.render.surfaces import Style
from pipeline.scoring.slices import Rgb

if TYPE_CHECKING:
    from vtkmodules.vtkRenderingCore import vtkVolume, vtkVolumeProperty
    from vtkmodules.vtkRenderingVolume import vtkGPUVolumeRayCastMapper

_DEPTH = 0.07
"""The opacity of a style is that of fog as deep as this share of the volume's mean side."""


def fog_picture(
    labels: NDArray[np.uint8],
    styles: Mapping[int, Style],
    voxel_size_nm: tuple[float, float, float],
    camera: Camera,
) -> Rgb:
    """Return a volume rendering of the labels (z, y, x) that have a style; the others are not seen."""
    import pyvista

    grid = pyvista.ImageData(dimensions=labels.shape[::-1], spacing=voxel_size_nm[::-1])
    grid.origin = tuple(size / 2 for size in voxel_size_nm[::-1])
    grid.point_data["label"] = labels.ravel()
    with stage(camera, smooth=False) as plotter:
        volume = cast("vtkVolume", plotter.add_volume(grid, scalars="label", mapper="gpu", show_scalar_bar=False))
        # Twice a voxel is often enough to look along a ray; of itself VTK would do so at each nanometre.
        cast("vtkGPUVolumeRayCastMapper", volume.GetMapper()).SetSampleDistance(min(voxel_size_nm) / 2)
        _colour(volume.GetProperty(), styles)
        volume.GetProperty().SetScalarOpacityUnitDistance(_DEPTH * prod(camera.size_nm) ** (1 / 3))
        put_box(plotter, camera.size_nm)
        return picture(plotter, camera)


def _colour(fog: vtkVolumeProperty, styles: Mapping[int, Style]) -> None:
    """Give each label its colour and opacity; between labels there is nothing to interpolate."""
    from vtkmodules.vtkCommonDataModel import vtkPiecewiseFunction
    from vtkmodules.vtkRenderingCore import vtkColorTransferFunction

    opacities, colors = vtkPiecewiseFunction(), vtkColorTransferFunction()
    opacities.AddPoint(0, 0.0)
    colors.AddRGBPoint(0, 1.0, 1.0, 1.0)
    for label, style in styles.items():
        opacities.AddPoint(label, style.opacity)
        colors.AddRGBPoint(label, *(part / 255 for part in bytes.fromhex(style.color[1:])))
    fog.SetScalarOpacity(opacities)
    fog.SetColor(colors)
    fog.SetInterpolationTypeToNearest()
