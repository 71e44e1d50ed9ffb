"""The mesh of one object, written, and read by other libraries: closed, as large as its voxels, and where they lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvista
from hypothesis import given
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from tinystudy import Finished, whole

from pipeline.errors import InputError
from pipeline.figures.render import object_surface, write_object_mesh
from pipeline.figures.render.surfaces import Style, mask_surface
from pipeline.run.layout import Run
from pipeline.run.objecttables import read_table

Command = Callable[..., Finished]


@pytest.fixture
def largest(with_objects: Run) -> dict[str, Any]:
    rows = [row for row in read_table(with_objects, "objects").to_pylist() if row["class"] == "bright"]
    return max(rows, key=lambda row: int(row["voxels"]))


def open_edges(mesh: pyvista.PolyData) -> int:
    """Edges of one triangle; where voxels meet diagonally, an edge has four."""
    kinds = {"non_manifold_edges": False, "feature_edges": False, "manifold_edges": False}
    return int(mesh.extract_feature_edges(boundary_edges=True, **kinds).n_cells)


@given(arrays(np.bool_, (3, 4, 4)))
def test_the_surface_of_any_mask_is_closed(mask: NDArray[np.bool_]) -> None:
    found = mask_surface(mask, Style("any", "#ffffff"), (40.0, 8.0, 8.0), is_closed=True)
    _, places = np.unique(found.points_nm, axis=0, return_inverse=True)
    corners = places[found.triangles][:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    _, counts = np.unique(np.sort(corners, axis=1), axis=0, return_counts=True)
    assert not (counts % 2).any()


@pytest.mark.parametrize("ending", [".ply", ".stl"])
def test_a_mesh_lies_where_its_object_does(
    ending: str, largest: dict[str, Any], with_objects: Run, vemseg: Command, tmp_path: Path
) -> None:
    path = tmp_path / f"object{ending}"
    ended = vemseg("objects", with_objects.store.url, path, "--mesh", str(largest["id"]), "--class", "bright")
    assert ended.code == 0, ended.text
    mesh = pyvista.read(path).clean()
    assert not open_edges(mesh)
    assert mesh.volume == pytest.approx(largest["volume_nm3"], rel=0.25)
    size = np.array(with_objects.plan.captures[0].voxel_size_nm)
    for axis, (low, high) in zip("xyz", np.reshape(mesh.bounds, (3, 2)), strict=True):
        edge = size["zyx".index(axis)]
        assert low == pytest.approx(largest[f"box_start_{axis}_nm"], abs=edge)
        assert high == pytest.approx(largest[f"box_stop_{axis}_nm"], abs=edge)


def test_precomputed_meshes_are_those_of_the_specification(
    largest: dict[str, Any], with_objects: Run, vemseg: Command, tmp_path: Path
) -> None:
    """Little-endian: the number of corners, these as float32 in x, y, z, then triangles as uint32."""
    folder, run = tmp_path / "meshes", with_objects.store.url
    ids = [row["id"] for row in read_table(with_objects, "objects").to_pylist() if row["class"] == "bright"][:2]
    for object_id in {*ids, largest["id"]}:
        assert vemseg("objects", run, folder, "--mesh", str(object_id), "--class", "bright").code == 0
    assert json.loads((folder / "info").read_text()) == {"@type": "neuroglancer_legacy_mesh"}
    assert {path.name for path in folder.glob("*:0")} == {f"{object_id}:0" for object_id in {*ids, largest["id"]}}
    (fragment,) = json.loads((folder / f"{largest['id']}:0").read_text())["fragments"]
    data = (folder / fragment).read_bytes()
    corners = int.from_bytes(data[:4], "little")
    points = np.frombuffer(data, "<f4", 3 * corners, 4).reshape(-1, 3)
    triangles = np.frombuffer(data, "<u4", offset=4 + 12 * corners).reshape(-1, 3)
    mesh = pyvista.make_tri_mesh(points.astype(float), triangles.astype(int))
    assert mesh.volume == pytest.approx(largest["volume_nm3"], rel=0.25)
    assert mesh.center == pytest.approx([largest[f"centroid_{axis}_nm"] for axis in "xyz"], abs=100)


def test_the_translation_of_a_volume_moves_its_meshes(largest: dict[str, Any], with_objects: Run) -> None:
    """As a run of labelled slices lies where it was cut out of its stack."""
    here = object_surface(with_objects, "bright", largest["id"])
    volume = with_objects.objects("bright", largest["capture"])
    mask = whole(volume) == largest["id"]
    z, y, x = (np.flatnonzero(mask.any(tuple(a for a in range(3) if a != axis))) for axis in range(3))
    inner = [
        (side.mean() * size + shift)
        for side, size, shift in zip(
            (z, y, x), volume.geometry.voxel_size_nm, volume.geometry.translation_nm, strict=True
        )
    ]
    middle = (here.points_nm.max(0) + here.points_nm.min(0)) / 2
    assert middle == pytest.approx(inner[::-1], abs=max(volume.geometry.voxel_size_nm))


@pytest.mark.parametrize("info", [b"{}", b"", b"\xff\xd8 no JSON"])
def test_a_folder_of_something_else_is_kept(
    info: bytes, largest: dict[str, Any], with_objects: Run, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/info").write_bytes(info)
    surface = object_surface(with_objects, "bright", largest["id"])
    with pytest.raises(InputError, match="no folder of precomputed meshes"):
        write_object_mesh(surface, largest["id"], tmp_path / "other")
