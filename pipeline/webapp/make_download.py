"""How each file of a result is made; run as ``python -m pipeline.webapp.make_download <job folder> <kind> <file>``.

The server starts it as a process. Every file appears when it is complete. Surfaces have a process of their own
(`make_surfaces`), since what draws them takes long to load.
"""

from __future__ import annotations

import csv
import json
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pipeline.errors import InputError, VemsegError
from pipeline.objects.pieces import Ids, piece_sizes
from pipeline.volume import ngff
from pipeline.volume.export.files import export_labels
from pipeline.volume.geometry import Block
from pipeline.volume.omezarr import Level
from pipeline.webapp.jobs import Job, JobStore
from pipeline.webapp.results import SPECK_VOXELS, ClassCount, Result
from pipeline.webapp.settings import Settings

MOST_VOXELS = 2**28
"""Pieces of a larger volume are counted on a coarser level."""
BLOCK_ZYX = (128, 256, 256)


Maker = Callable[[Result, Job, Path], None]


def main(maker_of: Callable[[str], Maker]) -> None:
    """Make one file, by what makes its kind; end with the message and exit code of what went wrong."""
    folder, kind, path = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    try:
        job = JobStore(Settings(data=folder.parents[1], models=())).find(folder.name)
        if job is None:
            raise InputError(f"{folder.name} is no job")
        result = Result.open(job)
        result.refuse_damaged()
        maker_of(kind)(result, job, path)
    except VemsegError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def _make_counts(result: Result, _job: Job, path: Path) -> None:
    counts = class_counts(result, result.shares())
    with staged_file(path) as staged:
        staged.write_text(json.dumps([asdict(count) for count in counts], indent=1), encoding="utf-8")


def _make_table(result: Result, _job: Job, path: Path) -> None:
    columns = ["class", "value", "voxels", "volume_um3", "share", f"pieces_of_{SPECK_VOXELS}_voxels_or_more"]
    columns += ["smaller_pieces", "median_piece_um3", "pieces_counted_at_level"]
    values = {name: value for value, name, _ in result.classes}
    with staged_file(path) as staged, staged.open("w", encoding="utf-8", newline="") as file:
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
    with staged_file(path) as staged, zipfile.ZipFile(staged, "w", zipfile.ZIP_STORED) as archive:
        _add_folder(archive, image, root)
        if labels.is_relative_to(image):
            return
        group = ngff.group({"labels": [labels.name]})
        archive.writestr(f"{root}/labels/zarr.json", json.dumps(group, indent=2))
        _add_folder(archive, labels, f"{root}/labels/{labels.name}")


def _copied(name: str) -> Maker:
    """What copies a table that the job wrote."""

    def make(result: Result, _job: Job, path: Path) -> None:
        with staged_file(path) as staged:
            staged.write_bytes(result.table(name))

    return make


MAKERS: dict[str, Maker] = {
    "counts": _make_counts,
    "csv": _make_table,
    "tiff": _make_tiff,
    "ome-zarr": _make_ome_zarr,
    "objects": _copied("objects.csv"),
    "objects-parquet": _copied("objects.parquet"),
    "contacts": _copied("contacts.csv"),
}


def class_counts(result: Result, known: Mapping[str, tuple[int, float]]) -> list[ClassCount]:
    """The counts of a result; the voxels of each class and their share, by name, are `known` already."""
    number, level = _level_to_count(result)
    sizes = _piece_sizes(result, level)
    found = []
    for position, (_, name, color) in enumerate(result.classes, start=1):
        pieces = sizes.get(position, np.zeros(0, np.int64))
        large = pieces[pieces >= SPECK_VOXELS]
        voxels, share = known[name]
        found.append(
            ClassCount(
                number=position,
                name=name,
                color=color,
                voxels=voxels,
                volume_um3=voxels * result.geometry.voxel_um3,
                share=share,
                pieces=len(large),
                specks=len(pieces) - len(large),
                median_piece_um3=float(np.median(large)) * level.geometry.voxel_um3 if len(large) else 0.0,
                pieces_level=number,
            )
        )
    return found


def _level_to_count(result: Result) -> tuple[int, Level]:
    levels = result.labels.levels
    small = (number for number, level in enumerate(levels) if level.geometry.block.voxels <= MOST_VOXELS)
    number = next(small, len(levels) - 1)
    return number, levels[number]


def _piece_sizes(result: Result, level: Level) -> dict[int, np.ndarray]:
    shape = level.geometry.shape_zyx
    if not result.overlapping:
        return dict(piece_sizes(level.read, shape, BLOCK_ZYX))
    found = {}
    for position, (value, _, _) in enumerate(result.classes, start=1):

        def members(block: Block, value: int = value) -> Ids:
            inside: Ids = ((level.read(block) & value) == value).astype(np.uint8)
            return inside

        found[position] = piece_sizes(members, shape, BLOCK_ZYX).get(1, np.zeros(0, np.int64))
    return found


def _add_folder(archive: zipfile.ZipFile, folder: Path, name: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            archive.write(path, f"{name}/{path.relative_to(folder)}")


@contextmanager
def staged_file(path: Path) -> Iterator[Path]:
    """A place to write to, which becomes the file when all is well."""
    staged = path.with_name(f".partial-{path.name}")
    try:
        yield staged
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


if __name__ == "__main__":
    main(MAKERS.__getitem__)
