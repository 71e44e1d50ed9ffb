"""Blocks out to be labelled by a person, and back as captures of a study.

Each block is a folder: ``image.tif`` and ``labels.tif`` for Fiji, and ``both.zarr`` for napari, all with as much around
the block as a network sees. Proposed labels fill the block; around it, 0 says that nobody labelled it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from pipeline.config.model import Classes, parse_config
from pipeline.config.reading import read_yaml, write_yaml
from pipeline.errors import ConfigError, DataError, InputError
from pipeline.formats import sides
from pipeline.run.check import check
from pipeline.run.intake import read_text
from pipeline.run.layout import Run, classes_of_target
from pipeline.run.plan import CapturePlan
from pipeline.volume.export.excerpt import Excerpt
from pipeline.volume.export.files import write_file
from pipeline.volume.geometry import Block, Geometry, Zyx, zyx
from pipeline.volume.labels import whole_numbers
from pipeline.volume.omezarr import create_image, create_labels, open_labels
from pipeline.volume.split import PART_IDS
from pipeline.volume.stores import Store

INDEX = "corrections.json"
LABELS, BOTH, IMAGE_TIFF, LABELS_TIFF, TAKEN_TIFF = "labels", "both.zarr", "image.tif", "labels.tif", "taken.tif"


@dataclass(frozen=True)
class Taken:
    """What came back.

    Args:
        study: the configuration, with the labelled blocks as captures to train on.
        changed: names of the blocks that were labelled.
        left: names of those that are as they were proposed, and are not taken.
    """

    study: str
    changed: tuple[str, ...]
    left: tuple[str, ...]


# --- out


def corrections_out(run_url: str, folder: Path) -> list[str]:
    """Write the blocks that were suggested last, each with its proposed labels; returns their names.

    Raises:
        RunConflictError: nothing was suggested yet.
        ConfigError: classes overlap, or the folder holds corrections already.
    """
    run = Run.open(run_url)
    told, classes = run.suggestions, run.config.classes
    if not classes.exclusive:
        raise ConfigError("corrections are of exclusive classes: a voxel of a label image has one id, and here several")
    if (folder / INDEX).exists():
        raise ConfigError(f"{folder}: holds corrections already; choose another folder")
    capture = run.plan.capture(told["capture"])
    target = run.plan.targets[0]
    # What trained on patches is to learn on from patches as large; a model of 0.1.0 does not say how large.
    patch = zyx(run.model_store(target).read_json("model.json").get("patch_zyx", run.plan.patch_zyx), "patch")
    blocks: list[dict[str, Any]] = []
    for row in told["blocks"]:
        block, name = Block(zyx(row["start_zyx"], "start"), zyx(row["stop_zyx"], "stop")), f"{row['rank']:03d}"
        around = block.grow(_margin(run, block, patch)).intersect(capture.volume)
        assert around is not None
        ids = np.zeros(around.shape_zyx, np.uint8)
        ids[block.relative_to(around).slices] = run.segmentation(target, capture.name).read(block)
        _write_block(run, capture, around, ids, folder / name, classes_of_target(classes, target))
        blocks.append(
            {
                "name": name,
                "start_zyx": block.start_zyx,
                "stop_zyx": block.stop_zyx,
                "around_start_zyx": around.start_zyx,
                "around_stop_zyx": around.stop_zyx,
                "proposed_sha256": _digest(ids),
            }
        )
    index = {
        "run": run.store.url,
        "capture": capture.name,
        "voxel_size_nm": capture.voxel_size_nm,
        "classes": [[value, name] for value, name, _ in classes_of_target(classes, target)],
        "blocks": blocks,
    }
    Store.open(folder).write_json(INDEX, index)
    (folder / "README.txt").write_text(_explained(index), encoding="utf-8")
    return [str(block["name"]) for block in blocks]


def _margin(run: Run, block: Block, patch_zyx: Zyx) -> Zyx:
    """What a network sees around a block, and no less than makes a patch of it."""
    return zyx(
        [
            max(field // 2, -(-max(0, patch - edge) // 2))
            for field, patch, edge in zip(run.plan.receptive_field_zyx, patch_zyx, block.shape_zyx, strict=True)
        ],
        "margin",
    )


def _write_block(
    run: Run,
    capture: CapturePlan,
    around: Block,
    ids: NDArray[np.uint8],
    folder: Path,
    classes: list[tuple[int, str, str]],
) -> None:
    image = run.image(capture.name)
    geometry = Geometry(around.shape_zyx, capture.voxel_size_nm)
    place = Store.open(folder / BOTH, create=True)
    size = around.shape_zyx
    copy = create_image(place, geometry=geometry, dtype=image.dtype, name=folder.name, chunk_zyx=size, shard_zyx=size)
    copy.write(geometry.block, image.read(around))
    labels = create_labels(
        place, LABELS, geometry=geometry, dtype=np.uint8, classes=classes, chunk_zyx=size, shard_zyx=size
    )
    labels.write(geometry.block, ids)
    write_file(Excerpt.of(copy), folder / IMAGE_TIFF)
    write_file(Excerpt.of(labels), folder / LABELS_TIFF)


def _explained(index: Mapping[str, Any]) -> str:
    values = "\n".join(f"  {value}  {name}" for value, name in index["classes"])
    places = "\n".join(
        f"  {block['name']}: z {block['start_zyx'][0]} to {block['stop_zyx'][0] - 1}, y {block['start_zyx'][1]}, "
        f"x {block['start_zyx'][2]} of {index['capture']}; here slice "
        f"{block['start_zyx'][0] - block['around_start_zyx'][0]} to "
        f"{block['stop_zyx'][0] - block['around_start_zyx'][0] - 1} (from 0)"
        for block in index["blocks"]
    )
    return f"""Blocks to be labelled, each in a folder of its own: correct the proposed labels where they are wrong.

Fiji: image.tif and labels.tif; save labels.tif over itself. napari: both.zarr, or the two TIFFs.
Change one of the two label images only. What is 0 counts as not labelled; what lies outside a block is not taken.

Values:
  0  not labelled
{values}

Places:
{places}

Then: vemseg corrections in FOLDER --study study.yaml > better.yaml
"""


# --- in


def corrections_in(folder: Path, study: str, *, accept_unchanged: bool = False) -> Taken:
    """Take labelled blocks back, as captures of a study to train on.

    The parts of the study's own captures are written out as boxes, since what is trained on is named now.

    Args:
        folder: that `corrections_out` wrote.
        study: the configuration that is to learn from the blocks.
        accept_unchanged: take blocks that are as they were proposed, too: somebody has looked at them.

    Raises:
        ConfigError: the study lacks a class, or nothing was labelled.
        DataError: a block has another shape, or values that mean nothing.
    """
    try:
        index = Store.open(folder).read_json(INDEX)
    except FileNotFoundError as error:
        raise InputError(f"{folder}: holds no {INDEX}: `vemseg corrections out RUN {folder}` writes one") from error
    text, base = read_text(study)
    config = parse_config(text, study)
    ids_of, unlabelled = _ids(index, config.classes, study)
    known = [value for value, _ in index["classes"]]
    labelled = {block["name"]: _labelled(folder / block["name"], block, known) for block in index["blocks"]}
    proposed = {block["name"]: block["proposed_sha256"] for block in index["blocks"]}
    left = () if accept_unchanged else tuple(name for name, ids in labelled.items() if _digest(ids) == proposed[name])
    changed = tuple(name for name in labelled if name not in left)
    if not changed:
        raise ConfigError(
            f"{folder}: every block is as it was proposed; label one, or take them as they are with --accept-unchanged"
        )
    for name in changed:
        _write_taken(folder / name / TAKEN_TIFF, labelled[name], ids_of, unlabelled)
    captures = _captures(folder, changed, index["voxel_size_nm"], base, {each.name for each in config.data.captures})
    named = {name: ids_of[value] for value, name in index["classes"]}
    return Taken(_with_captures(text, study, captures, named, unlabelled), changed, left)


def _ids(index: Mapping[str, Any], classes: Classes, study: str) -> tuple[dict[int, int], int]:
    """The study's id for each value of the blocks, and one that none of its classes has."""
    names: dict[int, str] = dict(index["classes"])
    missing = [name for name in names.values() if name not in classes.names]
    if missing:
        raise ConfigError(
            f"{study}: classes.members has no {', '.join(missing)}, which the blocks are labelled by; name the "
            f"classes as they are there: {', '.join(names.values())}"
        )
    if not classes.exclusive:
        raise ConfigError(f"{study}: classes.exclusive is false, and a voxel of the blocks has one class")
    taken = {value for member in classes.members for value in member.ids} | set(classes.ignore_ids)
    free = (value for value in count() if value not in taken)
    unlabelled = classes.ignore_ids[0] if classes.ignore_ids else next(free)
    own = {member.name: member.ids[0] if member.ids else next(free) for member in classes.members}
    return {value: own[name] for value, name in names.items()}, unlabelled


def _labelled(folder: Path, block: Mapping[str, Any], known: list[int]) -> NDArray[np.integer[Any]]:
    """The labels of a block and 0 around it, from whichever of its two label images was changed."""
    around = Block(zyx(block["around_start_zyx"], "start"), zyx(block["around_stop_zyx"], "stop"))
    inside = Block(zyx(block["start_zyx"], "start"), zyx(block["stop_zyx"], "stop")).relative_to(around).slices
    images = {LABELS_TIFF: _tiff(folder / LABELS_TIFF, around.shape_zyx), BOTH: _zarr(folder / BOTH, around.shape_zyx)}
    found = {}
    for name, ids in images.items():
        strange = sorted(int(value) for value in set(np.unique(ids[inside])) - {0, *known})
        if strange:
            raise DataError(
                f"{folder / name}: holds {', '.join(map(str, strange[:5]))}, and the classes are "
                f"{', '.join(map(str, known))}; 0 is not labelled"
            )
        cut = np.zeros(around.shape_zyx, np.uint8)
        cut[inside] = ids[inside]
        found[name] = cut
    changed = [ids for ids in found.values() if _digest(ids) != block["proposed_sha256"]]
    if len(changed) == 2 and _digest(changed[0]) != _digest(changed[1]):
        raise DataError(
            f"{folder}: {LABELS_TIFF} and {BOTH} were both changed, and differ; delete the one that is not to be taken"
        )
    return changed[0] if changed else found.popitem()[1]


def _tiff(path: Path, shape_zyx: Zyx) -> NDArray[Any]:
    """The numbers of a TIFF whose shape is known: napari saves three slices as the planes of a colour image."""
    try:
        ids = tifffile.imread(path)
    except (OSError, tifffile.TiffFileError) as error:
        raise DataError(f"{path}: cannot be read as a TIFF: {error}") from error
    if [edge for edge in ids.shape if edge > 1] != [edge for edge in shape_zyx if edge > 1]:
        _refuse_other_shape(path, ids.shape, shape_zyx)
    return whole_numbers(ids.reshape(shape_zyx), str(path))


def _zarr(path: Path, shape_zyx: Zyx) -> NDArray[Any]:
    volume = open_labels(Store.open(path), LABELS)
    _refuse_other_shape(path, volume.shape_zyx, shape_zyx)
    ids: NDArray[Any] = volume.read(volume.geometry.block)
    return ids


def _refuse_other_shape(path: Path, found: tuple[int, ...], expected: Zyx) -> None:
    if found != expected:
        raise DataError(
            f"{path}: has {sides(found, by='x')} voxels, and {sides(expected, by='x')} went out (z, y, x); label the "
            "image as it is, without cutting or scaling it"
        )


def _digest(ids: NDArray[np.integer[Any]]) -> str:
    return hashlib.sha256(ids.astype("<u8").tobytes()).hexdigest()


def _write_taken(path: Path, ids: NDArray[np.integer[Any]], ids_of: Mapping[int, int], unlabelled: int) -> None:
    """The labels in the study's own ids."""
    table = {0: unlabelled, **ids_of}
    dtype = np.min_scalar_type(max(table.values()))
    taken = np.full(ids.shape, unlabelled, dtype)
    for value, own in table.items():
        taken[ids == value] = own
    tifffile.imwrite(path, taken, photometric="minisblack", compression="zlib")


def _captures(
    folder: Path, names: tuple[str, ...], voxel_size_nm: list[float], base: Path, taken: set[str]
) -> list[dict[str, Any]]:
    """A capture a block, under a name that the study does not have yet."""
    round_ = next(number for number in count(1) if not any(name.startswith(f"round{number}_") for name in taken))
    place = folder.resolve()
    within = place.relative_to(base.resolve()) if place.is_relative_to(base.resolve()) else place
    return [
        {
            "name": f"round{round_}_{name}",
            "raw": str(within / name / IMAGE_TIFF),
            "labels": str(within / name / TAKEN_TIFF),
            "voxel_size_nm": voxel_size_nm,
        }
        for name in names
    ]


def _with_captures(
    text: str, study: str, captures: list[dict[str, Any]], id_of: Mapping[str, int], unlabelled: int
) -> str:
    data = read_yaml(text, study)
    regions = list(data.get("split", {}).get("regions") or _parts_as_regions(study))
    data["data"]["captures"] = [*data["data"]["captures"], *captures]
    data["split"] = {
        **{key: value for key, value in data.get("split", {}).items() if key == "guard_voxels"},
        "regions": [*regions, *({"part": "train", "capture": each["name"]} for each in captures)],
    }
    classes = data["classes"]
    for member in classes["members"]:
        if not member.get("ids"):
            member["ids"] = [id_of[member["name"]]]
    classes["ignore_ids"] = sorted({*classes.get("ignore_ids", ()), unlabelled})
    better = write_yaml(data)
    parse_config(better, study)
    return better


def _parts_as_regions(study: str) -> Iterator[dict[str, Any]]:
    """Where the study's fractions cut its own captures."""
    for name, parts in check(study, whole=False).decision.parts.items():
        for part in PART_IDS:
            for block in parts.of(part):
                ends = zip("zyx", block.start_zyx, block.stop_zyx, strict=True)
                yield {"part": part, "capture": name, **{axis: [start, stop] for axis, start, stop in ends}}
