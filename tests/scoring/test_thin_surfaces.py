"""What is one voxel thick, or a single voxel, has a closed surface where it lies."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.scoring.render.surfaces import Style, mask_surface


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
