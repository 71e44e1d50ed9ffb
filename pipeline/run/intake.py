"""Taking in: configuration, captures and kernels from their files into a run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.model import Boosting, Capture, Config, Data, parse_config
from pipeline.errors import ConfigError, RunConflictError
from pipeline.formats import sides
from pipeline.nn.sampling import class_counts
from pipeline.nn.zssr.kernel_file import blur_from_text
from pipeline.objects.pieces import pieces_as_objects
from pipeline.run import provenance
from pipeline.run.decide import Intensity, Kernels
from pipeline.run.events import Reporter
from pipeline.run.inputs import Inputs
from pipeline.run.layout import OWN_GRID, SPLIT, TRUTH, VOLUME, Run, class_map, objects_dtype, objects_name
from pipeline.run.markers import Marker
from pipeline.run.plan import CapturePlan, ends
from pipeline.volume.geometry import Block, Geometry, ZyxNm, tile
from pipeline.volume.greymeter import GreyMeter, measured
from pipeline.volume.greyvalues import GreyMap, GreyValues, compare, grey_map
from pipeline.volume.ingest import FILL, ingest_capture, labelled_runs
from pipeline.volume.omezarr import create_labels, describe_classes, stored
from pipeline.volume.pyramid import build_pyramid
from pipeline.volume.resampling import resample, resampled_geometry
from pipeline.volume.sources import TRUSTED, Policy, open_source
from pipeline.volume.split import PART_IDS, Parts
from pipeline.volume.stores import Store
from pipeline.volume.streaming import shards
from pipeline.volume.treatments import CURES
from pipeline.volume.truth import opened_objects
from pipeline.volume.written import recorded

LABEL_LIST = "volume.zarr/{}/labels/zarr.json"
"""Of a capture; written once all labels are there, and vouched for then."""
_TEXTURED_PIECES = 64
_PART_CLASSES = ((1, "train", "#009e73"), (2, "validation", "#e69f00"), (3, "test", "#0072b2"))


@dataclass(frozen=True)
class Stack:
    """A capture, or one run of labelled slices of it, as its files state it."""

    name: str
    capture: Capture
    slices: tuple[int, int] | None
    geometry: Geometry
    digest: str
    grey_values: GreyValues | None = None
    grey_map: GreyMap | None = None


def read_config(location: str) -> tuple[Config, Path]:
    """A configuration at a path or URL, and the folder that its relative paths start from."""
    text, base = read_text(location)
    return parse_config(text, location), base


def read_text(location: str) -> tuple[str, Path]:
    """The text of a configuration, and the folder that its relative paths start from."""
    if "://" in location:
        parent, _, name = location.rpartition("/")
        store = Store.open(parent)
        base = store.local_path() or Path.cwd()
        try:
            text = store.read(name).decode()
        except FileNotFoundError as error:
            raise ConfigError(f"{location}: there is no configuration here") from error
    else:
        path = Path(location)
        if not path.is_file():
            raise ConfigError(f"{location}: {_what_is_there(path)}")
        try:
            text, base = path.read_text(encoding="utf-8"), path.resolve().parent
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{location}: is no text; give the YAML file of a study, as `vemseg init` writes"
            ) from error
        except OSError as error:
            raise ConfigError(f"{location}: cannot be read as a configuration: {error}") from error
    return text, base


def _what_is_there(path: Path) -> str:
    """In place of a configuration, and what to do."""
    if path.is_dir():
        return "is a folder; give the YAML file of a study, as `vemseg init RAW LABELS > study.yaml` writes"
    beside = [each.name for each in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
    if near := get_close_matches(path.name, beside, 1):
        return f"there is no such file; did you mean {path.with_name(near[0])}?"
    return f"there is no configuration here; `vemseg init RAW LABELS > {path.name}` writes one"


def is_planned_with(run: Run, config: str) -> bool:
    """Whether the run's configuration is this one, or was before its file was damaged."""
    return stored(run.store, "config.yaml") == config.encode() or provenance.planned(run, config).facts is not None


# --- kernels


def read_kernels(settings: Boosting, base: Path) -> Kernels:
    """The kernels of a configuration; relative paths start at ``base``.

    Raises DataError for a file that holds no kernel.
    """
    coarse, learnt = blur_from_text(settings.kernel, base), settings.zssr.kernel
    if learnt == "estimated":
        return Kernels(coarse, "estimated")
    return Kernels(coarse, coarse if learnt == "known" else blur_from_text(learnt, base))


# --- captures of a study


def stacks_of(config: Config, base: Path, inputs: Inputs) -> list[Stack]:
    """The captures of a configuration, or each unbroken run of their labelled slices.

    Raises ConfigError where the grey values of one are far from the first's, unless the configuration says what to do.
    """
    found = {capture.name: _stacks(capture, config, base, inputs) for capture in config.data.captures}
    if len(found) == 1:
        return found.popitem()[1]
    first, *_ = every = [measured_values(capture.raw, base, TRUSTED) for capture in config.data.captures]
    refuse_unlike_greys(config, every)
    stacks = []
    for capture, values in zip(config.data.captures, every, strict=True):
        seen = None if values is first else grey_map(values, first, config.data.intensity or "as_trained")
        stacks += [replace(stack, grey_values=values, grey_map=seen) for stack in found[capture.name]]
    return stacks


def refuse_unlike_greys(config: Config, values: Sequence[GreyValues]) -> None:
    """Raise ConfigError where a capture's grey values are far from the first's and nothing says what to do."""
    for capture, each in zip(config.data.captures, values, strict=True):
        if config.data.intensity is None and (unlike := compare(each, values[0])).is_far:
            raise ConfigError(
                f"data.captures: {capture.name}'s grey values are far from {config.data.captures[0].name}'s, and one "
                f"network is to learn both: {unlike.text}. Say what to do with data.intensity: {CURES}"
            )


def _stacks(capture: Capture, config: Config, base: Path, inputs: Inputs) -> list[Stack]:
    if capture.labels is None:
        raise ConfigError(f"data.captures: {capture.name!r} has no labels; a study needs them to train and to score")
    with open_source(capture.raw, base, TRUSTED) as source:
        shape, stated, note = source.shape_zyx, source.voxel_size_nm, source.voxel_size_note
    voxel_size_nm = capture.voxel_size_nm or stated
    if voxel_size_nm is None:
        raise ConfigError(
            f"data.captures: {capture.raw} does not state its voxel size; give {capture.name}'s "
            f"voxel_size_nm as [z, y, x]{note and f'. {note}'}"
        )
    labels = {"labels": capture.labels} if isinstance(capture.labels, str) else capture.labels
    objects = {f"objects/{name}": location for name, location in (capture.objects or {}).items()}
    locations = {"raw": capture.raw, **labels, **objects}
    files = {name: inputs.content(location, base, TRUSTED) for name, location in locations.items()}
    made_from = provenance.capture_digest(files, capture, config.classes, voxel_size_nm)
    labelled = capture.labelled()
    if not capture.runs_as_captures or labelled is None:
        return [Stack(capture.name, capture, None, Geometry(shape, voxel_size_nm), made_from)]
    return [
        Stack(
            f"{capture.name}_{start:04d}",
            capture,
            (start, stop),
            Geometry((stop - start, *shape[1:]), voxel_size_nm),
            provenance.run_of_slices_digest(made_from, start, stop),
        )
        for start, stop in labelled_runs(labelled)
    ]


def take_in_stack(
    run: Run, config: Config, base: Path, stack: Stack, parts: Parts, report: Reporter
) -> tuple[CapturePlan, Intensity]:
    """Ingest a labelled capture and paint its parts, unless that is done.

    Returns the capture as it stands in the run, and the intensity of its training part.
    """
    blocks = {part: ends(parts.of(part)) for part in PART_IDS}
    split = provenance.split(run, stack.name, stack.digest, blocks, stack.grey_map)
    ingested = provenance.ingested(run, stack.name, stack.digest)
    if not ingested.intact:
        split.clear()
        capture = stack.capture
        _ingest(
            run,
            ingested,
            stack.name,
            stack.geometry,
            report,
            raw=capture.raw,
            base=base,
            policy=TRUSTED,
            labels=labels_with_fill(capture, config),
            classes=class_map(config, capture),
            voxel_size_nm=capture.voxel_size_nm,
            labelled_slices=capture.labelled(),
            slices=stack.slices,
        )
    else:
        with recorded() as written:
            describe_classes(run.truth(stack.name), class_map(config, stack.capture).label_classes)
        ingested.amend(written)
    for class_id, member in config.classes.instances.items():
        _take_in_objects(run, base, stack, class_id, member.name)
    if not split.intact:
        # In runs of 0.1.0 nothing else is listed after the parts.
        listed = [] if run.keeps_predictions_apart else [LABEL_LIST.format(stack.name)]
        with split.making(without=listed) as found:
            _paint_parts(run, stack, parts)
            found["class_voxels"] = {part: _count_classes(run, config, stack, parts.of(part)) for part in PART_IDS}
            found["intensity"] = _intensity(run, stack, parts.train)
    facts = split.facts
    assert facts is not None
    plan = CapturePlan(
        name=stack.name,
        shape_zyx=stack.geometry.shape_zyx,
        voxel_size_nm=stack.geometry.voxel_size_nm,
        digest=stack.digest,
        parts=blocks,
        class_voxels=facts["class_voxels"],
        untold=config.classes.untold(stack.capture),
        grey_values=stack.grey_values,
        grey_map=stack.grey_map,
    )
    voxels, mean, std, seen = facts["intensity"]
    return plan, Intensity(voxels, mean, std, GreyValues.of_json(seen) if seen else None)


def _ingest(run: Run, marker: Marker, name: str, geometry: Geometry, report: Reporter, **how: object) -> None:
    # Until this plan is made, no step may take the new voxels for those of the old plan.
    run.store.delete("plan.json")
    report.say(
        f"taking in {how['raw'] if name in (VOLUME, OWN_GRID) else name}: {sides(geometry.shape_zyx, by='x')} voxels"
    )
    store = run.capture_store(name)
    with marker.making(without=[LABEL_LIST.format(name)]):
        _delete_taken_in(store)
        taken = ingest_capture(
            store,
            name=name,
            count_voxels=report.metrics.voxels,
            **how,  # type: ignore[arg-type]
        )
    if taken.note:
        report.say(taken.note)


def _take_in_objects(run: Run, base: Path, stack: Stack, class_id: int, name: str) -> None:
    """The objects of a class as labelled: by the ids of their own volume, or the pieces of the class."""
    made = provenance.true_objects(run, stack.name, name, stack.digest)
    if made.intact:
        return
    run.store.delete("plan.json")
    truth, capture, ids = run.truth(stack.name), stack.capture, (stack.capture.objects or {}).get(name)
    store, label = run.capture_store(stack.name), objects_name(name, TRUTH)
    with made.making(), ExitStack() as opened:
        store.child("labels", label).delete_all()
        volume = create_labels(
            store,
            label,
            geometry=truth.geometry,
            dtype=objects_dtype(truth.geometry.block) if ids is None else np.uint64,
            classes=(),
            chunk_zyx=truth.chunk_zyx,
            shard_zyx=truth.shard_zyx,
            listed=False,
        )
        if ids is None:
            found = pieces_as_objects(lambda block: truth.read(block) == class_id, truth.shape_zyx, truth.shard_zyx)
        else:
            source = opened_objects(
                ids, capture.raw, base, labelled_slices=capture.labelled(), slices=stack.slices, policy=TRUSTED
            )
            found = shards(opened.enter_context(source), truth.shard_zyx)
        for shard, objects in found:
            volume.write(shard, np.where(truth.read(shard) == class_id, objects, 0).astype(volume.dtype))
        build_pyramid(volume)


def _resample(run: Run, marker: Marker, geometry: Geometry, report: Reporter) -> None:
    if marker.intact:
        return
    run.store.delete("plan.json")
    report.say(f"resampling it to the model's voxel size: {sides(geometry.shape_zyx, by='x')} voxels")
    with marker.making(without=[LABEL_LIST.format(VOLUME)]):
        _delete_taken_in(run.capture_store(VOLUME))
        resample(run.image(OWN_GRID), run.capture_store(VOLUME), geometry.voxel_size_nm)


def _delete_taken_in(store: Store) -> None:
    """Remove the image, the truth and the parts; predictions among the labels have an owner of their own."""
    levels = {folder for folder, slash, _ in (key.partition("/") for key in store.list()) if slash}
    for folder in (levels - {"labels"}) | {f"labels/{TRUTH}", f"labels/{SPLIT}"}:
        store.delete_all(folder)
    for key in ("zarr.json", "labels/zarr.json"):
        store.delete(key)


def labels_with_fill(capture: Capture, config: Config) -> str | dict[str, str] | None:
    """Where a capture's labels are, with the class that takes what no mask covers."""
    if not isinstance(capture.labels, dict):
        return capture.labels
    fill = {member.name: FILL for member in config.classes.members if member.fill}
    named = class_map(config, capture).labelled
    return {**capture.labels, **{name: where for name, where in fill.items() if name in named}}


def _paint_parts(run: Run, stack: Stack, parts: Parts) -> None:
    truth = run.truth(stack.name)
    volume = create_labels(
        run.capture_store(stack.name),
        SPLIT,
        geometry=truth.geometry,
        dtype=np.uint8,
        classes=_PART_CLASSES,
        chunk_zyx=truth.chunk_zyx,
        shard_zyx=truth.shard_zyx,
    )
    for shard in tile(volume.geometry.block, volume.shard_zyx):
        ids = np.zeros(shard.shape_zyx, np.uint8)
        for part, value in PART_IDS.items():
            for block in parts.of(part):
                inside = block.intersect(shard)
                if inside:
                    ids[inside.relative_to(shard).slices] = value
        volume.write(shard, ids)
    build_pyramid(volume)


def _count_classes(run: Run, config: Config, stack: Stack, blocks: Sequence[Block]) -> list[int]:
    truth = run.truth(stack.name)
    total = np.zeros(len(config.classes.members), np.int64)
    for piece in (piece for block in blocks for piece in tile(block, truth.shard_zyx)):
        total += class_counts(truth.read(piece), len(total), config.classes.exclusive)
    return [int(count) for count in total]


def _intensity(run: Run, stack: Stack, blocks: Sequence[Block]) -> tuple[int, float, float, dict[str, Any] | None]:
    """Voxels, mean, standard deviation and quantiles, as the networks see them."""
    image = run.image(stack.name)
    voxels, total, squares = 0, 0.0, 0.0
    dtype = image.dtype if stack.grey_map is None else np.dtype(np.float32)
    meter, pieces = GreyMeter(dtype), [piece for block in blocks for piece in tile(block, image.shard_zyx)]
    step = max(1, len(pieces) // _TEXTURED_PIECES)
    for number, piece in enumerate(pieces):
        seen = image.read(piece) if stack.grey_map is None else stack.grey_map(image.read(piece))
        meter.add(seen, has_texture=number % step == 0)
        values = seen.astype(np.float64)
        voxels, total, squares = voxels + values.size, total + values.sum(), squares + np.square(values).sum()
    mean = total / max(1, voxels)
    std = sqrt(max(squares / max(1, voxels) - mean**2, 0.0))
    return voxels, mean, std, asdict(meter.values(dtype)) if voxels else None


# --- a volume without labels as the only capture of a run: to be segmented, or boosted, by steps that know studies


def stated_geometry(volume: str, base: Path, voxel_size_nm: ZyxNm | None, policy: Policy) -> Geometry:
    """Shape and voxel size of a volume. Raises ConfigError when neither its file nor the caller states the latter."""
    with open_source(volume, base, policy) as source:
        size = voxel_size_nm or source.voxel_size_nm
        shape, note = source.shape_zyx, source.voxel_size_note
    if size is None:
        raise ConfigError(
            f"{volume} does not state its voxel size; give --voxel-size-nm z,y,x (with a workflow: -p "
            f"voxel-size-nm=z,y,x){note and f'. {note}'}"
        )
    return Geometry(shape, size)


def measured_values(volume: str, base: Path, policy: Policy) -> GreyValues:
    """The grey values of a volume, from everywhere in it."""
    with open_source(volume, base, policy) as source:
        return measured(source)


def only_capture(volume: str, base: Path) -> Data:
    """The configuration's section ``data`` for a volume; a relative path starts at ``base``."""
    location = volume if "://" in volume else str(base / volume)
    return Data(captures=(Capture(name=VOLUME, raw=location),))


def claim(run: Run, config: Config, remark: str = "") -> str:
    """Make a run that of a configuration, and return the text of ``config.yaml``.

    Raises RunConflictError when the run is that of another one.

    Args:
        remark: what the results depend on beside the configuration, on a line of its own.
    """
    text = config.to_yaml() + (f"# {remark}\n" if remark else "")
    if run.store.exists("config.yaml") and not is_planned_with(run, text):
        raise RunConflictError(
            f"{run.store.url} holds another study, segmentation or boosting; choose another run URL, or remove what is "
            "there"
        )
    run.store.write("config.yaml", text.encode())
    return text


def take_in_volume(
    run: Run,
    volume: str,
    base: Path,
    geometry: Geometry,
    report: Reporter,
    policy: Policy,
    grey_values: GreyValues | None = None,
    grey_map: GreyMap | None = None,
    to_nm: ZyxNm | None = None,
) -> CapturePlan:
    """Ingest a volume, unless it is there, and say what it was made from, and how networks are to see it.

    With `to_nm` the capture has that voxel size, and the volume as it came lies beside it, as `OWN_GRID`.
    """
    inputs = Inputs(run.store.url)
    content, size_nm = inputs.content(volume, base, policy), geometry.voxel_size_nm
    made_from = provenance.volume_digest(content, size_nm)
    inputs.note(run.store)
    name = VOLUME if to_nm is None else OWN_GRID
    ingested = provenance.ingested(run, name, made_from)
    if not ingested.intact:
        _ingest(run, ingested, name, geometry, report, raw=volume, base=base, voxel_size_nm=size_nm, policy=policy)
    if to_nm is not None:
        made_from, geometry = provenance.resampled_digest(content, size_nm, to_nm), resampled_geometry(geometry, to_nm)
        _resample(run, provenance.ingested(run, VOLUME, made_from), geometry, report)
    return CapturePlan(
        name=VOLUME,
        shape_zyx=geometry.shape_zyx,
        voxel_size_nm=geometry.voxel_size_nm,
        digest=made_from,
        parts={},
        class_voxels={},
        grey_values=grey_values,
        grey_map=grey_map,
    )
