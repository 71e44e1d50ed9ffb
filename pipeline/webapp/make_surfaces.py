"""How the files with surfaces are made; run as ``python -m pipeline.webapp.make_surfaces``, as `make_download`."""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.errors import InputError
from pipeline.figures.render import Surface, class_styles, object_surface, surfaces, write_mesh, write_scene_html
from pipeline.figures.slices import most_frequent
from pipeline.run.layout import Run
from pipeline.volume.coarse import CoarseLabels, coarse_labels
from pipeline.webapp.downloads import told_of_mesh
from pipeline.webapp.jobs import Job
from pipeline.webapp.make_download import Maker, main, staged_file
from pipeline.webapp.results import Result

SCENE_VOXELS = 3_000_000
"""A scene is looked at, not measured: half of what meshes are made of halves the wait."""
MESH_VOXELS = 6_000_000


def _make_scene(result: Result, job: Job, path: Path) -> None:
    found, coarse = _surfaces(result, SCENE_VOXELS, words=True)
    size = [n * nm for n, nm in zip(coarse.ids.shape, coarse.voxel_size_nm, strict=True)]
    size_nm = (size[0], size[1], size[2])
    write_scene_html(found, path, title=job.name, size_nm=size_nm, note="Drag to turn, scroll to come nearer.")


def _make_meshes(ending: str) -> Maker:
    def make(result: Result, _job: Job, path: Path) -> None:
        found, _ = _surfaces(result, MESH_VOXELS)
        if not found:
            raise InputError("no class was found in this volume, so there is no surface to write")
        with (
            TemporaryDirectory(dir=path.parent) as folder,
            staged_file(path) as staged,
            zipfile.ZipFile(staged, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for surface in found:
                mesh = write_mesh(surface, Path(folder) / f"{surface.style.name}{ending}")
                archive.write(mesh, mesh.name)
                mesh.unlink()

    return make


def _make_object(class_name: str, object_id: int, result: Result, job: Job, path: Path) -> None:
    result.objects(class_name)  # refused where it is not what the job wrote
    surface = object_surface(Run.open(job.run), class_name, object_id)
    with staged_file(path) as staged:
        write_mesh(surface, staged)


def _surfaces(result: Result, most_voxels: int, *, words: bool = False) -> tuple[list[Surface], CoarseLabels]:
    """Of each class; words: with names for people, not for files."""
    coarse = coarse_labels(result.labels, most_voxels, as_ids=result.class_numbers)
    names, colors = [name for _, name, _ in result.classes], [color for _, _, color in result.classes]
    names = [name.replace("_", " ") for name in names] if words else names
    styles = class_styles(names, colors, background=most_frequent(coarse.ids))
    shares = result.shares()
    voxels = {number: shares[name][0] for number, (_, name, _) in enumerate(result.classes, start=1)}
    return surfaces(coarse.ids, styles, coarse.voxel_size_nm, voxels), coarse


MAKERS: dict[str, Maker] = {
    "scene": _make_scene,
    "meshes-ply": _make_meshes(".ply"),
    "meshes-stl": _make_meshes(".stl"),
}


def _maker_of(kind: str) -> Maker:
    return MAKERS[kind] if kind in MAKERS else partial(_make_object, *told_of_mesh(kind))


if __name__ == "__main__":
    main(_maker_of)
