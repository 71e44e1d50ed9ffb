"""What is small or thin has a closed surface where it lies, and about the volume of its voxels."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.figures.render.surfaces import Style, mask_surface, polydata


@pytest.mark.parametrize("shape_zyx", [(1, 1, 1), (1, 5, 5), (1, 1, 7), (4, 1, 3)])
def test_a_thin_mask_has_a_surface_around_its_middle(shape_zyx: tuple[int, int, int]) -> None:
    mask = np.zeros((6, 8, 10), bool)
    mask[1 : 1 + shape_zyx[0], 2 : 2 + shape_zyx[1], 3 : 3 + shape_zyx[2]] = True
    surface = mask_surface(mask, Style("thin", "#ff0000"), (30.0, 8.0, 8.0))
    assert surface.voxels == mask.sum()
    edges = np.sort(surface.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert set(np.unique(edges, axis=0, return_counts=True)[1]) == {2}
    middle_zyx = (np.array([1, 2, 3]) + np.array(shape_zyx) / 2) * (30.0, 8.0, 8.0)
    centre = (surface.points_nm.min(axis=0) + surface.points_nm.max(axis=0)) / 2
    np.testing.assert_allclose(centre[::-1], middle_zyx, rtol=1e-3)


@pytest.mark.parametrize("radii_zyx", [(3, 3, 3), (2, 2, 2), (1.5, 1.5, 12), (0.9, 12, 12)])
def test_vesicles_neurites_and_sheets_keep_their_volume(radii_zyx: tuple[float, float, float]) -> None:
    place = np.indices((9, 29, 29)).T - (4, 14, 14)
    mask = ((place / radii_zyx) ** 2).sum(axis=-1).T <= 1
    surface = mask_surface(mask, Style("any", "#ff0000"), (8.0, 8.0, 8.0))
    assert polydata(surface).volume == pytest.approx(surface.voxels * 8.0**3, rel=0.1)


def test_parts_that_touch_in_an_edge_or_a_corner_keep_their_place() -> None:
    """The surface is about each part, and no part is drawn to another."""
    z, y, x = np.indices((12, 12, 12)) // 3
    surface = mask_surface((z + y + x) % 2 == 0, Style("cubes", "#ff0000"), (8.0, 8.0, 8.0))
    assert np.isfinite(surface.points_nm).all()
    assert surface.points_nm.min() > -8
    assert surface.points_nm.max() < 13 * 8
    assert polydata(surface).volume == pytest.approx(surface.voxels * 8.0**3, rel=0.2)
