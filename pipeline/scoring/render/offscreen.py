"""Drawing without a screen: VTK through EGL or OSMesa, whose absence is found out before it can do harm."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import MissingLibraryError
from pipeline.scoring.render.camera import Camera
from pipeline.scoring.slices import Rgb

if TYPE_CHECKING:
    from pyvista import Plotter

_PROBE_SECONDS = 60
_PROBE = "import pyvista; p = pyvista.Plotter(off_screen=True, window_size=(8, 8)); p.show(); print('drawn')"
# Without it VTK asks for an X server first, and complains when there is none.
_WINDOW = {"VTK_DEFAULT_OPENGL_WINDOW": "vtkEGLRenderWindow"}


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


@contextmanager
def stage(camera: Camera, *, sheer_layers: int = 0, smooth: bool = True) -> Iterator[Plotter]:
    """Yield an empty picture of what the camera sees.

    `sheer_layers` is how many sheer surfaces are told apart behind each other; `smooth` says whether to draw everything
    larger first, through which VTK draws no volume, and without which it leaves sheer surfaces out.

    Raises MissingLibraryError where nothing can be drawn.
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


def picture(plotter: Plotter, camera: Camera) -> Rgb:
    """Return what the camera sees of what was put on the stage, RGB (y, x, 3)."""
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
