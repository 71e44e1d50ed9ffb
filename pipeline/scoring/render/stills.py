"""Still pictures of surfaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.scoring.render.camera import Camera
from pipeline.scoring.render.meshes import polydata
from pipeline.scoring.render.offscreen import picture, stage
from pipeline.scoring.render.surfaces import BANDS, Surface
from pipeline.scoring.slices import Rgb

if TYPE_CHECKING:
    from pyvista import Plotter

_LIGHT: dict[str, Any] = {"ambient": 0.25, "diffuse": 0.75, "specular": 0.15, "specular_power": 15}
_EDGE_COLOR = "#8a949e"


def surface_picture(found: Sequence[Surface], camera: Camera) -> Rgb:
    """Return a picture of the surfaces within the box of the volume."""
    with stage(camera, sheer_layers=8) as plotter:
        put_surfaces(plotter, found, camera.size_nm)
        return picture(plotter, camera)


def surface_pictures(found: Sequence[Surface], cameras: Sequence[Camera]) -> list[Rgb]:
    """Return a picture from each camera, all of the same size; drawn more quickly than one is."""
    with stage(cameras[0], sheer_layers=3) as plotter:
        put_surfaces(plotter, found, cameras[0].size_nm)
        return [picture(plotter, camera) for camera in cameras]


def put_surfaces(plotter: Plotter, found: Sequence[Surface], size_nm: tuple[float, float, float]) -> None:
    """Put surfaces on the stage, and the edges of the volume of `size_nm` (z, y, x)."""
    for surface in found:
        if len(surface.triangles):
            _put(plotter, surface, sum(size_nm))
    put_box(plotter, size_nm)


def put_box(plotter: Plotter, size_nm: tuple[float, float, float]) -> None:
    """Put the edges of a volume of `size_nm` (z, y, x) on the stage."""
    import pyvista

    depth, height, width = size_nm
    box = pyvista.Box((0, width, 0, height, 0, depth))
    plotter.add_mesh(box, style="wireframe", color=_EDGE_COLOR, line_width=1, opacity=0.7, lighting=False)


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
