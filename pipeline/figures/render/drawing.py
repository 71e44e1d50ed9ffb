"""Drawing without a screen, by VTK through EGL or OSMesa: pictures of surfaces, and volume rendering of labels."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import MissingLibraryError
from pipeline.figures.palette import BOX_EDGE, Rgb, rgb
from pipeline.figures.render.camera import Camera
from pipeline.figures.render.surfaces import BANDS, Style, Surface, polydata
from pipeline.volume.geometry import ZyxNm

if TYPE_CHECKING:
    from pyvista import Plotter
    from vtkmodules.vtkRenderingCore import vtkVolume, vtkVolumeProperty
    from vtkmodules.vtkRenderingVolume import vtkGPUVolumeRayCastMapper

_PROBE_SECONDS = 60
# No more than opens a window: PyVista takes a second to import.
_PROBE = """
import vtkmodules.vtkRenderingOpenGL2
from vtkmodules.vtkRenderingCore import vtkRenderWindow
window = vtkRenderWindow()
window.SetOffScreenRendering(1)
window.SetSize(8, 8)
window.Render()
print('drawn')
"""
# Without it VTK asks for an X server first, and complains when there is none.
_WINDOW = {"VTK_DEFAULT_OPENGL_WINDOW": "vtkEGLRenderWindow"}
_LIGHT: dict[str, Any] = {"ambient": 0.25, "diffuse": 0.75, "specular": 0.15, "specular_power": 15}
_FOG_DEPTH = 0.07
"""The opacity of a style is that of fog as deep as this share of the volume's mean side."""


@cache
def require_opengl() -> None:
    """Raise MissingLibraryError where nothing can be drawn.

    Found out by another process, because VTK ends the one in which a driver is missing.
    """
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE],
            env=os.environ | _WINDOW,
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
        drawn = probe.stdout.strip().endswith("drawn")
    except subprocess.TimeoutExpired:
        drawn = False
    if not drawn:
        raise MissingLibraryError(
            "no OpenGL library for renders in 3D: install Debian's libegl1 and libgl1-mesa-dri "
            "(apt-get install libegl1 libgl1-mesa-dri), then `vemseg render RUN`"
        )


def surface_pictures(
    scenes: Iterable[Sequence[Surface]], cameras: Sequence[Camera], *, sheer_layers: int = 8
) -> list[list[Rgb]]:
    """Return for each scene its pictures from all cameras, of surfaces within the box of the volume.

    Args:
        scenes: surfaces that are seen together.
        cameras: whose pictures are all of the same size.
        sheer_layers: how many sheer surfaces are told apart behind each other.
    """
    size_nm = cameras[0].size_nm
    pictures = []
    # One window for all: to open one takes longer than to draw in it.
    with _stage(cameras[0], sheer_layers=sheer_layers) as plotter:
        for found in scenes:
            plotter.clear_actors()
            for surface in found:
                if len(surface.triangles):
                    _put(plotter, surface, sum(size_nm))
            _put_box(plotter, size_nm)
            pictures.append([_seen(plotter, camera) for camera in cameras])
    return pictures


def fog_picture(
    labels: NDArray[np.uint8],
    styles: Mapping[int, Style],
    voxel_size_nm: ZyxNm,
    camera: Camera,
) -> Rgb:
    """Return a volume rendering: every voxel is a drop of coloured fog, through which the ones behind it are seen.

    The labels are (z, y, x); those without a style are not seen.
    """
    import pyvista

    grid = pyvista.ImageData(dimensions=labels.shape[::-1], spacing=voxel_size_nm[::-1])
    grid.origin = tuple(size / 2 for size in voxel_size_nm[::-1])
    grid.point_data["label"] = labels.ravel()
    with _stage(camera, smooth=False) as plotter:
        volume = cast("vtkVolume", plotter.add_volume(grid, scalars="label", mapper="gpu", show_scalar_bar=False))
        # Twice a voxel is often enough to look along a ray; of itself VTK would do so at each nanometre.
        cast("vtkGPUVolumeRayCastMapper", volume.GetMapper()).SetSampleDistance(min(voxel_size_nm) / 2)
        _colour(volume.GetProperty(), styles)
        volume.GetProperty().SetScalarOpacityUnitDistance(_FOG_DEPTH * prod(camera.size_nm) ** (1 / 3))
        _put_box(plotter, camera.size_nm)
        return _seen(plotter, camera)


@contextmanager
def _stage(camera: Camera, *, sheer_layers: int = 0, smooth: bool = True) -> Iterator[Plotter]:
    """Yield an empty picture of what the camera sees.

    `smooth` says whether to draw everything larger first, through which VTK draws no volume, and without which it
    leaves sheer surfaces out.
    """
    import pyvista

    require_opengl()
    os.environ.update(_WINDOW)
    plotter: Any = pyvista.Plotter(off_screen=True, window_size=list(camera.pixels))
    try:
        plotter.set_background("white")
        plotter.enable_parallel_projection()
        if sheer_layers:
            plotter.enable_depth_peeling(sheer_layers)
        plotter.enable_anti_aliasing("ssaa" if smooth else "msaa")
        plotter.show(auto_close=False)  # opens the window
        plotter.suppress_rendering = True  # else all is drawn anew with each thing that is put on the stage
        yield plotter
    finally:
        plotter.close()


def _seen(plotter: Plotter, camera: Camera) -> Rgb:
    """What the camera sees of what was put on the stage, RGB (y, x, 3)."""
    _, up = camera.right_and_up
    distance = 2 * sum(camera.size_nm)
    plotter.camera.focal_point = tuple(camera.centre)
    plotter.camera.position = tuple(camera.centre + distance * camera.towards_eye)
    plotter.camera.up = tuple(up)
    plotter.camera.parallel_scale = camera.scale * camera.pixels[1] / 2
    plotter.renderer.reset_camera_clipping_range()
    plotter.suppress_rendering = False
    plotter.render()
    plotter.suppress_rendering = True
    return np.asarray(plotter.image)[..., :3].copy()


def _put_box(plotter: Plotter, size_nm: ZyxNm) -> None:
    """The edges of a volume of `size_nm` (z, y, x)."""
    import pyvista

    depth, height, width = size_nm
    box = pyvista.Box((0, width, 0, height, 0, depth))
    plotter.add_mesh(box, style="wireframe", color=BOX_EDGE, line_width=1, opacity=0.7, lighting=False)


def _put(plotter: Plotter, surface: Surface, diagonal_nm: float) -> None:
    style = surface.style
    mesh = polydata(surface)
    look: dict[str, Any] = {**_LIGHT, "smooth_shading": True, "opacity": style.opacity}
    if style.pattern == "plain":
        plotter.add_mesh(mesh, color=style.color, **look)
        return
    look |= {"ambient": 0.5, "diffuse": 0.6, "specular": 0.0}  # the bands should look as they do in the legend
    mesh.point_data["place"] = np.asarray(mesh.points).sum(axis=1)
    plotter.add_mesh(
        mesh,
        scalars="place",
        cmap=[style.color, style.band_color] * (BANDS // 2),
        n_colors=BANDS,
        clim=(0, diagonal_nm),
        interpolate_before_map=True,
        show_scalar_bar=False,
        **look,
    )


def _colour(fog: vtkVolumeProperty, styles: Mapping[int, Style]) -> None:
    """Give each label its colour and opacity; between labels there is nothing to interpolate."""
    from vtkmodules.vtkCommonDataModel import vtkPiecewiseFunction
    from vtkmodules.vtkRenderingCore import vtkColorTransferFunction

    opacities, colors = vtkPiecewiseFunction(), vtkColorTransferFunction()
    opacities.AddPoint(0, 0.0)
    colors.AddRGBPoint(0, 1.0, 1.0, 1.0)
    for label, style in styles.items():
        opacities.AddPoint(label, style.opacity)
        colors.AddRGBPoint(label, *(part / 255 for part in rgb(style.color)))
    fog.SetScalarOpacity(opacities)
    fog.SetColor(colors)
    fog.SetInterpolationTypeToNearest()
