"""Surfaces and meshes of labels: where they lie in nanometres, what they leave out, and how few triangles they have.

Oracles are an ellipsoid's volume and extent, and counts of voxels by plain NumPy; no pictures are drawn here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import pyvista
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.figures.render import class_styles, scene_html, surfaces, write_mesh, write_scene_html
from pipeline.figures.render.outcomes import ConfusionView, Outcome, all_surfaces, outcomes
from pipeline.scoring.confusion import confusion_block, one_vs_rest_ids

VOXEL_NM = (40.0, 8.0, 8.0)
RADII_NM = (320.0, 200.0, 120.0)
STYLES = class_styles(["inside", "other"], ["#e6194b", "#3cb44b"])
SHAPE_ZYX = (3, 5, 6)
IDS = arrays(np.uint8, SHAPE_ZYX, elements=st.integers(0, 3))


def ellipsoid() -> NDArray[np.uint8]:
    """An ellipsoid of class 1 in the middle of slices that are five times as thick as their pixels are wide."""
    half = [int(radius / size) + 3 for radius, size in zip(RADII_NM, VOXEL_NM, strict=True)]
    places = np.meshgrid(*(np.arange(-n, n + 1) for n in half), indexing="ij")
    scaled = (place * size / radius for place, size, radius in zip(places, VOXEL_NM, RADII_NM, strict=True))
    return (sum(axis**2 for axis in scaled) <= 1).astype(np.uint8)


def mesh_of(ids: NDArray[np.uint8], folder: Path, ending: str = ".ply") -> pyvista.PolyData:
    (found,) = surfaces(ids, STYLES, VOXEL_NM)
    mesh = pyvista.read(write_mesh(found, folder / f"mesh{ending}"))
    assert isinstance(mesh, pyvista.PolyData)
    return mesh


@pytest.mark.parametrize("ending", [".ply", ".stl"])
def test_an_ellipsoid_has_its_volume_and_extent_in_nanometres(ending: str, tmp_path: Path) -> None:
    ids = ellipsoid()
    mesh = mesh_of(ids, tmp_path, ending)
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * np.prod(RADII_NM), rel=0.08)  # of fifteen slices
    low, high = np.array(mesh.bounds).reshape(3, 2).T
    np.testing.assert_allclose(high - low, 2 * np.array(RADII_NM[::-1]), atol=1.2 * max(VOXEL_NM))
    middle = np.array(ids.shape[::-1]) / 2 * VOXEL_NM[::-1]
    np.testing.assert_allclose((low + high) / 2, middle, atol=1.0)


def test_a_mesh_in_ply_has_the_colour_of_its_class(tmp_path: Path) -> None:
    assert (mesh_of(ellipsoid(), tmp_path)["RGB"] == (0xE6, 0x19, 0x4B)).all()


def test_a_mesh_of_another_kind_is_refused(tmp_path: Path) -> None:
    (found,) = surfaces(ellipsoid(), STYLES, VOXEL_NM)
    with pytest.raises(InputError, match=r"\.ply"):
        write_mesh(found, tmp_path / "mesh.obj")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("most", [20_000, 1500])
def test_even_the_surface_of_noise_keeps_to_its_triangles_and_its_place(most: int) -> None:
    noise = (np.random.default_rng(0).random((24, 40, 40)) > 0.6).astype(np.uint8)
    (full,) = surfaces(noise, STYLES, VOXEL_NM, most_triangles=10**9)
    (fewer,) = surfaces(noise, STYLES, VOXEL_NM, most_triangles=most)
    assert len(full.triangles) > 50_000
    assert 4 < len(fewer.triangles) < 4 * most
    assert fewer.triangles.max() < len(fewer.points_nm)
    box = np.array(noise.shape[::-1]) * VOXEL_NM[::-1]
    np.testing.assert_allclose(np.ptp(fewer.points_nm, axis=0), box, rtol=0.2)


def test_a_small_class_keeps_its_shape_beside_a_large_one() -> None:
    ids = np.ones((20, 40, 40), np.uint8)
    ids[::2, ::3, ::3] = 0
    ids[8:11, 20:24, 20:24] = 2
    alone = surfaces(ids, {2: STYLES[2]}, VOXEL_NM)[0]
    beside = surfaces(ids, STYLES, VOXEL_NM, most_triangles=8 * len(alone.triangles))[1]
    np.testing.assert_array_equal(beside.triangles, alone.triangles)


@given(truth=IDS, predicted=IDS, class_id=st.integers(1, 3))
def test_found_missed_and_invented_are_what_scores_count(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], class_id: int
) -> None:
    kinds = outcomes(truth, predicted, class_id)
    labelled = truth > 0
    assert ((kinds == Outcome.FOUND) == ((truth == class_id) & (predicted == class_id))).all()
    assert ((kinds == Outcome.MISSED) == ((truth == class_id) & (predicted != class_id))).all()
    assert ((kinds == Outcome.INVENTED) == (labelled & (truth != class_id) & (predicted == class_id))).all()


def view_of(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], drawn: tuple[int, ...]) -> ConfusionView:
    values = confusion_block(truth, predicted, 3)
    voxels = {int(value): int(count) for value, count in zip(*np.unique(values, return_counts=True), strict=True)}
    return ConfusionView(values, VOXEL_NM, ("a", "b", "c"), ("#5b6b7b", "#e6194b", "#3cb44b"), voxels, drawn)


@given(truth=IDS, predicted=IDS, drawn=st.sampled_from([(1, 2, 3), (2,), (1, 2)]))
def test_whatever_was_predicted_there_is_a_surface_for_each_outcome_that_occurs(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], drawn: tuple[int, ...]
) -> None:
    """Absent classes, no errors, nothing labelled and a single slice among them."""
    view = view_of(truth, predicted, drawn)
    for class_id in drawn:
        kinds = outcomes(truth, predicted, class_id)
        counts = {outcome.name.lower(): int((kinds == outcome).sum()) for outcome in Outcome}
        found = {surface.style.name: surface.voxels for surface in view.surfaces[class_id]}
        assert found == {name: count for name, count in counts.items() if count}
        scores, support = view.scores(class_id), int((truth == class_id).sum())
        assert (scores.support, scores.recall) == (support, counts["found"] / support if support else None)
        assert all(0 <= place < side for place, side in zip(view.worst_voxel(class_id), SHAPE_ZYX, strict=True))
    if found_anything := all_surfaces(view.surfaces):
        assert "</html>" in scene_html(found_anything, title="any", size_nm=view.size_nm)


def test_one_class_against_the_rest_draws_the_one() -> None:
    bits = np.full(SHAPE_ZYX, 1, np.uint32)
    bits[1, 2, 3] |= 1 << 1
    ids = one_vs_rest_ids(bits, 1).astype(np.uint8)
    view = view_of(ids, ids, (1,))
    assert [(one.style.group, one.style.name, one.voxels) for one in all_surfaces(view.surfaces)] == [("a", "found", 1)]


def test_a_scene_escapes_what_it_is_told(tmp_path: Path) -> None:
    styles = class_styles(["</script><b>"], ["#e6194b"])
    found = surfaces(ellipsoid(), styles, VOXEL_NM)
    path = write_scene_html(found, tmp_path / "scene.html", title="<i>&", size_nm=(1000.0, 1000.0, 1000.0))
    page = path.read_text()
    assert "<i>" not in page
    assert "</script><b>" not in page
    assert len(page) < 15_000_000


def test_a_scene_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="no surface"):
        scene_html([], title="none", size_nm=(1.0, 1.0, 1.0))
