"""Exports of a run, or of a volume: which part in which format, and a text beside it that says what its values mean."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline import __version__
from pipeline.config.model import MULTILABEL
from pipeline.errors import ConfigError
from pipeline.formats import sides
from pipeline.nn.description import WEIGHTS
from pipeline.run.layout import SEGMENTATION
from pipeline.run.outcome import Outcome, outcome
from pipeline.run.provenance import refuse_incomplete
from pipeline.run.verify import refuse_damaged_volume
from pipeline.volume.export.excerpt import INSIDE, Excerpt
from pipeline.volume.export.files import FORMATS, write_file
from pipeline.volume.export.folders import FOLDERS, write_folder
from pipeline.volume.geometry import Block
from pipeline.volume.omezarr import Volume
from pipeline.volume.sources.cut import Cut

MASKS, PROBABILITIES = "masks", "probabilities"
ENDINGS = {"bigtiff": "tif", "tiff": "tif", "hdf5": "h5"}
"""Of file names, where they differ from the format's name."""
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")


def take_out(
    place: str,
    where: Path | None = None,
    *,
    form: str | None = None,
    what: str | None = None,
    box: Cut | None = None,
    level: int = 0,
    capture: str | None = None,
) -> Iterator[str]:
    """Write a part of what lies at a place, and a README.txt with it; yields a line for each file or folder.

    Args:
        place: a run or a volume.
        where: file or folder; None: in the working directory, named after the capture and what it is.
        form: a format of `FORMATS` or `FOLDERS`; None: by the ending of `where`, else TIFF for Fiji.
        what: `MASKS`, `PROBABILITIES`, or a volume of the `Outcome`; None: the segmentation, or the volume.
        box: in voxels of full resolution, or in nanometres.
        level: of the pyramid.
        capture: of a run.

    Raises:
        InputError: there is no such thing, or the format does not hold it; nothing is written then.
        RunConflictError: it is not predicted yet, or damaged.
    """
    form = _format(form, where)
    found = outcome(place, capture)
    volume = _volume(found, what)
    _refuse_incomplete(found, volume)
    part = None if box is None else box.block(volume.shape_zyx, volume.geometry.voxel_size_nm, place)
    if what == MASKS:
        yield from _masks(found, volume, where, form, part, level)
        return
    excerpt = Excerpt.of(volume, level, part)
    name = what or (SEGMENTATION if volume.is_labels else found.name)
    path = where or Path(f"{found.name}-{name}{_ending(form)}")
    _write(excerpt, path, form)
    note = path / "README.txt" if form in FOLDERS else path.with_name(f"{path.name}.README.txt")
    note.write_text(_explained(found, volume, excerpt, [path.name]), encoding="utf-8")
    yield f"{path}: {_size(excerpt)}; {note} says what its values mean"


def _masks(
    found: Outcome, volume: Volume, where: Path | None, form: str, box: Block | None, level: int
) -> Iterator[str]:
    if not volume.classes:
        raise ConfigError(f"{volume.store.url} is no label volume with classes; masks are of labels")
    folder = where or Path(f"{found.name}-{MASKS}")
    names = []
    for value, label, _ in volume.classes:
        excerpt = Excerpt.of(volume, level, box, mask_of=value)
        path = folder / f"{label.replace('/', '_')}{_ending(form)}"
        _write(excerpt, path, form)
        names.append(path.name)
        yield f"{path}: {_size(excerpt)}"
    note = folder / "README.txt"
    note.write_text(_explained(found, volume, excerpt, names), encoding="utf-8")
    yield f"{note} says what their values mean"


def _format(form: str | None, where: Path | None) -> str:
    known = (*FORMATS, *FOLDERS)
    if form is not None and form not in known:
        raise ConfigError(f"--as {form}: cannot export so; there are {', '.join(known)}")
    if form is None and where is not None and where.suffix:
        ending = where.suffix.lower().removeprefix(".")
        if ending not in FORMATS:
            raise ConfigError(
                f"{where}: cannot export as {_whole_ending(where)}; let the name end in one of "
                f"{', '.join('.' + each for each in FORMATS if each != 'bigtiff')}, or name it by --as"
            )
        return ending
    return form or "tif"


def _whole_ending(path: Path) -> str:
    """Such as .nii.gz: what a file is stands before how it is packed."""
    packed = path.suffix.lower() in PACKED
    return "".join(path.suffixes[-2:] if packed else [path.suffix]).lower()


def _volume(found: Outcome, what: str | None) -> Volume:
    if what == PROBABILITIES:
        if found.probabilities is None:
            raise ConfigError(
                f"{found.name} has no probabilities; write `inference: {{probabilities: true}}` into the configuration "
                "and run the study again"
            )
        return found.probabilities
    return found.volume(None if what == MASKS else what)


def _refuse_incomplete(found: Outcome, volume: Volume) -> None:
    if found.run is not None:
        for target in found.run.segmentations:
            if volume.store.url in [each.store.url for each in found.run.predicted_volumes(target, found.name)]:
                refuse_incomplete(found.run, target, found.name)
    refuse_damaged_volume(volume.store)


def _write(excerpt: Excerpt, path: Path, form: str) -> None:
    if form in FOLDERS:
        write_folder(excerpt, path, form)
    else:
        write_file(excerpt, path, form)


def _ending(form: str) -> str:
    return "" if form in FOLDERS else f".{ENDINGS.get(form, form)}"


def _size(excerpt: Excerpt) -> str:
    return f"{sides(excerpt.shape_zyx, by='x')} voxels of {sides(excerpt.voxel_size_nm, by='x')} nm"


def _explained(found: Outcome, volume: Volume, excerpt: Excerpt, names: list[str]) -> str:
    """What the files are, in plain words."""
    start = ", ".join(f"{shift:g}" for shift in excerpt.origin_nm)
    lines = [
        f"{', '.join(names)}: written by vemseg {__version__}",
        "",
        f"Voxels: {_size(excerpt)} (z, y, x), {excerpt.dtype.name}.",
        f"Centre of the first voxel in the capture: {start} nm (z, y, x).",
    ]
    if excerpt.mask_of is not None:
        lines += [f"Values: {INSIDE} inside the class that the file is named after, 0 outside."]
    elif excerpt.channels is not None:
        lines += ["Values: probabilities, 255 being certain. Channels, in their order:", *_listed(excerpt.channels)]
    elif excerpt.classes:
        kind = "sums of the bits of all classes of a voxel" if excerpt.dtype.itemsize > 2 else "one class a voxel"
        lines += [f"Values ({kind}):", "  0  nothing predicted here, or not labelled"]
        lines += [f"  {value}  {name}  ({color})" for value, name, color in excerpt.classes]
    elif found.doubt is not None and volume.store.url == found.doubt.store.url:
        lines += [
            "Values: how likely the merged segmentation is wrong, 255 being surely; 0, too, where nothing is predicted."
        ]
    else:
        lines += ["Values: grey values, as they were taken in."]
    lines += ["", f"From: {volume.store.readable_place}"]
    if found.run is not None:
        lines += [f"Run: {found.run.store.url}, capture {found.name}"]
        for target in found.run.plan.targets:
            weights = found.run.model_store(target).read_json("model.json")[WEIGHTS]
            kind = "all classes at once" if target == MULTILABEL else f"{target} or not"
            lines += [f"Model: {target} ({kind}), weights with SHA-256 {weights}"]
    return "\n".join(lines) + "\n"


def _listed(names: tuple[str, ...]) -> list[str]:
    return [f"  {number}  {name}" for number, name in enumerate(names)]
