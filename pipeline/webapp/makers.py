"""How each file of a result is made; run as ``python -m pipeline.webapp.makers <job folder> <kind> <file>``.

Every file appears when it is complete.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipeline.errors import InputError, VemsegError
from pipeline.scoring.slices import most_frequent
from pipeline.volume import ngff
from pipeline.volume.coarse import CoarseLabels, coarse_labels
from pipeline.volume.export import export_labels
from pipeline.webapp.counting import SPECK_VOXELS, ClassCount, class_counts
from pipeline.webapp.jobs import Job, read_job
from pipeline.webapp.pages.words import spaced
from pipeline.webapp.results import Result

if TYPE_CHECKING:
    from pipeline.scoring.render import Surface

SCENE_VOXELS = 3_000_000
"""A scene is looked at, not measured: half of what meshes are made of halves the wait."""
MESH_VOXELS = 6_000_000


def main() -> None:
    """Make one file; end with the message and exit code of what went wrong."""
    folder, kind, path = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    job = read_job(folder)
    try:
        if job is None:
            raise InputError(f"{folder} is no job")
        MAKERS[kind](Result.open(job), job, path)
    except VemsegError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def _make_counts(result: Result, job: Job, path: Path) -> None:
    text = (job.run / "evaluation" / "shares.csv").read_text(encoding="utf-8")
    known = {row["class"]: (int(row["voxels"]), float(row["share"])) for row in csv.DictReader(io.StringIO(text))}
    with _staged(path) as staged:
        ClassCount.write(class_counts(result, known), staged)


def _make_table(result: Result, _job: Job, path: Path) -> None:
    columns = ["class", "value", "voxels", "volume_um3", "share", f"pieces_of_{SPECK_VOXELS}_voxels_or_more"]
    columns += ["smaller_pieces", "median_piece_um3", "pieces_counted_at_level"]
    values = {name: value for value, name, _ in result.classes}
    with _staged(path) as staged, staged.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        for c in result.class_counts():
            row = [c.name, values[c.name], c.voxels, c.volume_um3, c.share, c.pieces, c.specks, c.median_piece_um3]
            table.writerow([*row, c.pieces_level])


def _make_tiff(result: Result, _job: Job, path: Path) -> None:
    export_labels(result.labels, path)


def _make_ome_zarr(result: Result, _job: Job, path: Path) -> None:
    """The image with its labels below it, as they lie in the run; its parts are compressed already."""
    root = path.name.removesuffix(".zip")
    image, labels = (result.volumes()[name] for name in ("raw", "labels"))
    with _staged(path) as staged, zipfile.ZipFile(staged, "w", zipfile.ZIP_STORED) as archive:
        _add_folder(archive, image, root)
        group = ngff.group({"labels": [labels.name]})
        archive.writestr(f"{root}/labels/zarr.json", json.dumps(group, indent=2))
        _add_folder(archive, labels, f"{root}/labels/{labels.name}")


def _make_scene(result: Result, job: Job, path: Path) -> None:
    from pipeline.scoring.render import write_scene_html

    found, coarse = _surfaces(result, SCENE_VOXELS, words=True)
    size = [n * nm for n, nm in zip(coarse.ids.shape, coarse.voxel_size_nm, strict=True)]
    size_nm = (size[0], size[1], size[2])
    write_scene_html(found, path, title=job.name, size_nm=size_nm, note="Drag to turn, scroll to come nearer.")


def _make_meshes(ending: str) -> Callable[[Result, Job, Path], None]:
    def make(result: Result, _job: Job, path: Path) -> None:
        from pipeline.scoring.render import write_mesh

        found, _ = _surfaces(result, MESH_VOXELS)
        if not found:
            raise InputError("no class was found in this volume, so there is no surface to write")
        with (
            TemporaryDirectory(dir=path.parent) as folder,
            _staged(path) as staged,
            zipfile.ZipFile(staged, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for surface in found:
                mesh = write_mesh(surface, Path(folder) / f"{surface.style.name}{ending}")
                archive.write(mesh, mesh.name)
                mesh.unlink()

    return make


MAKERS: dict[str, Callable[[Result, Job, Path], None]] = {
    "counts": _make_counts,
    "csv": _make_table,
    "tiff": _make_tiff,
    "ome-zarr": _make_ome_zarr,
    "scene": _make_scene,
    "meshes-ply": _make_meshes(".ply"),
    "meshes-stl": _make_meshes(".stl"),
}


def _surfaces(result: Result, most_voxels: int, *, words: bool = False) -> tuple[list[Surface], CoarseLabels]:
    """Of each class; words: with names for people, not for files."""
    from pipeline.scoring.render import class_styles, surfaces

    coarse = coarse_labels(result.labels, most_voxels, as_ids=result.class_numbers)
    names, colors = [name for _, name, _ in result.classes], [color for _, _, color in result.classes]
    names = [spaced(name) for name in names] if words else names
    styles = class_styles(names, colors, background=most_frequent(coarse.ids))
    return surfaces(coarse.ids, styles, coarse.voxel_size_nm), coarse


def _add_folder(archive: zipfile.ZipFile, folder: Path, name: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            archive.write(path, f"{name}/{path.relative_to(folder)}")


@contextmanager
def _staged(path: Path) -> Iterator[Path]:
    """A place to write to, which becomes the file when all is well."""
    staged = path.with_name(f".partial-{path.name}")
    try:
        yield staged
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
