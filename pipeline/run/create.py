"""Creating what a plan asks for: ``plan.json``, the empty arrays that the workers fill, the files for the workflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.model import MERGED, MULTILABEL
from pipeline.nn.zssr.grids import Scaling
from pipeline.nn.zssr.methods import METHODS
from pipeline.run import provenance
from pipeline.run.fanout import FanOut, fan_out
from pipeline.run.layout import (
    CORES,
    DOUBT,
    NATIVE,
    PARTS,
    PIECES,
    SPLIT,
    TRUTH,
    Run,
    objects_dtype,
    objects_name,
    predicted_name,
    segmentation_name,
    target_classes,
)
from pipeline.run.markers import MARKERS, Marker
from pipeline.run.phases import SEPARATION
from pipeline.run.plan import CapturePlan, RunPlan, ends, fit
from pipeline.run.pool import Pool
from pipeline.run.works import DOWNSAMPLED, boosted_regions, predicted_regions, scaling
from pipeline.volume.geometry import Geometry, chunk_within
from pipeline.volume.omezarr import create_image, create_labels, list_labels, stored
from pipeline.volume.stores import Store
from pipeline.volume.written import recorded


def write_plan(
    run: Run, config: str, plan: RunPlan, outputs: Path | None, pods_per_workflow: int, at_once: int = 0
) -> None:
    """Write configuration and plan, make the arrays, and tell the workflow how to go on.

    Args:
        config: what ``config.yaml`` is to hold.
        outputs: directory for the values that the workflow goes on with.
        pods_per_workflow: workers that one workflow holds.
        at_once: pods that run at once, where they are few; 0: any number.
    """
    planned, text = provenance.planned(run, config), plan.model_dump_json(indent=1).encode()
    if stored(run.store, "plan.json") != text or not planned.intact:
        with planned.making():
            if stored(run.store, "config.yaml") != config.encode():
                # Killed between the two, it must not leave the old plan beside the new configuration.
                run.store.delete("plan.json")
            run.store.write("config.yaml", config.encode())
            run.store.write("plan.json", text)
    written = Run(run.store)
    _create_arrays(written)
    if outputs:
        merges, separates = written.config.inference.merged, bool(written.instances)
        write_outputs(
            outputs,
            plan,
            pods_per_workflow,
            at_once=at_once,
            merges=merges,
            separates=separates,
            devices=written.config.training.devices,
        )


def spread_out(plan: RunPlan, pods_per_workflow: int, *, at_once: int, merges: bool, separates: bool) -> FanOut:
    """How the workers of a plan are spread over workflows; see `write_plan` and `fan_out`."""
    boosting = plan.boosting
    return fan_out(
        augment_workers=plan.augment_workers,
        infer_workers=plan.infer_workers,
        targets=plan.targets,
        boost_workers=boosting.workers if boosting else 0,
        boost_methods=len(boosting.methods) if boosting else 0,
        merges=merges,
        separates=separates,
        pods_per_workflow=pods_per_workflow,
        at_once=at_once,
    )


def write_outputs(
    directory: Path,
    plan: RunPlan,
    pods_per_workflow: int,
    *,
    at_once: int = 0,
    merges: bool = False,
    separates: bool = False,
    devices: int = 1,
) -> None:
    """Write one file an output parameter.

    targets         a JSON list of names; `target` is the first of them
    augment-workers how many pods fill the pool
    train-devices   how many GPUs a training needs, where it is done on GPUs
    infer-workers   how many pods predict each target; a worker is told its number and this one
    infer-here      how many of them are pods of this workflow: all, or none
    infer-together  where none are, since a pod predicts several targets: a JSON list of names with commas between
    merge-workers   how many pods merge what the networks say; 0 where that is not asked for
    infer-groups    where others hold them: the workers of each nested workflow, a JSON list of {"first": n, "count": n}
    separate-workers  how many pods tell objects apart in each phase; 0 where no class has any
    boosting        true where the run boosts anything
    boost-methods   a JSON list of {"method": name, "learns": whether it must be trained before}
    boost-learns    true where one of them must
    boost-workers   how many pods boost by each method
    """
    boosting = plan.boosting
    methods = boosting.methods if boosting else []
    spread = spread_out(plan, pods_per_workflow, at_once=at_once, merges=merges, separates=separates)
    values = {
        "targets": json.dumps(list(plan.targets)),
        "target": plan.targets[0] if plan.targets else "",
        "augment-workers": str(spread.augment_workers),
        "train-devices": str(devices),
        "infer-workers": str(plan.infer_workers),
        "merge-workers": str(spread.merge_workers),
        "infer-here": str(0 if spread.groups or spread.together else plan.infer_workers),
        "infer-together": json.dumps([",".join(group) for group in spread.together]),
        "infer-groups": json.dumps([{"first": first, "count": count} for first, count in spread.groups]),
        "separate-workers": str(spread.separate_workers),
        "boosting": str(boosting is not None).lower(),
        "boost-methods": json.dumps([{"method": method, "learns": METHODS[method].learns} for method in methods]),
        "boost-learns": str(any(METHODS[method].learns for method in methods)).lower(),
        "boost-workers": str(spread.boost_workers),
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (directory / name).write_text(value, encoding="utf-8")


def _create_arrays(run: Run) -> None:
    """Make the empty arrays that the workers will fill, so that no two of them make one.

    Arrays of another layout are replaced, and before that the markers of the work that filled them are removed: they
    would be taken for the new arrays' own once the plan returns to their configuration.
    """
    if run.config.augmentation.source == "pool" and run.plan.networks:
        pool = Pool(run)
        made = provenance.pool_arrays(run, pool.layout)
        _create(run, made, pool.create, ("augment",), [run.pool_store], shared=())
    boosting = run.plan.boosting
    for capture in run.plan.captures:
        for target in run.segmentations:
            _create_predictions(run, capture, target, NATIVE)
        if run.instances:
            _create_objects(run, capture)
        _list_labels(run, capture, NATIVE, run.segmentations)
        if boosting is None:
            continue
        image = run.image(capture.name)
        if boosting.downsampled:
            _create_variant(run, DOWNSAMPLED, capture, _coarser(image.geometry, scaling(run)), image.dtype)
        for method in boosting.methods:
            fine = image.geometry if boosting.downsampled else _finer(image.geometry, scaling(run))
            _create_variant(run, method, capture, fine, image.dtype)
            if run.plan.targets:
                _create_predictions(run, capture, MULTILABEL, method)
                _list_labels(run, capture, method, (MULTILABEL,))


def _create_predictions(run: Run, capture: CapturePlan, target: str, variant: str) -> None:
    native = run.image(capture.name)
    geometry = native.geometry
    image, name = run.segmentation_place(target, capture.name, variant)
    scores = run.certainty_store(target, capture.name)
    shard = fit(run.config.inference.shard_zyx, capture.shape_zyx)
    classes = target_classes(run.config, target)
    settings = run.config.inference
    certainty = variant == NATIVE and (settings.doubt if target == MERGED else settings.stores_probabilities)
    # Where other voxels are asked for, those of an earlier model must not stay beside them.
    asked = ends(predicted_regions(run, capture, variant))
    names = [(value, label) for value, label, _ in classes]
    layout = [asdict(geometry), shard, names, run.config.classes.exclusive, certainty, asked]
    made = provenance.prediction_arrays(run, capture.name, target, variant, layout)
    grid = {"chunk_zyx": chunk_within(shard), "shard_zyx": shard}
    overlapping = target in (MULTILABEL, MERGED) and not run.config.classes.exclusive
    dtype = np.uint32 if overlapping else np.uint8
    channels = None if target == MERGED else run.config.classes.names if target == MULTILABEL else (target,)
    title = DOUBT if target == MERGED else target

    def create(mend: bool) -> None:
        if certainty:
            create_image(scores, geometry=geometry, dtype=np.uint8, name=title, channels=channels, mend=mend, **grid)
        create_labels(
            image,
            name,
            geometry=geometry,
            dtype=dtype,
            classes=classes,
            mend=mend,
            listed=run.keeps_predictions_apart,
            coarsest_zyx=native.chunk_zyx if variant == NATIVE else None,
            **grid,
        )

    # The last three wrote the coarser levels, which go with the arrays, or scored them.
    written_by = "merge" if target == MERGED else f"infer/{predicted_name(target, variant)}"
    former = (f"{written_by}/{capture.name}", "evaluate", "finish", "compare")
    stores = [image.child("labels", name), *([scores] if variant == NATIVE else [])]
    _create(run, made, create, former, stores, shared=stores)


def _create_objects(run: Run, capture: CapturePlan) -> None:
    """Of each class whose objects are told apart, and what lies between them and the network's answer."""
    native = run.image(capture.name)
    geometry, image, between = native.geometry, run.capture_store(capture.name), run.separation_store(capture.name)
    shard = fit(run.config.inference.shard_zyx, capture.shape_zyx)
    names, asked = list(run.instances.values()), ends(predicted_regions(run, capture))
    made = provenance.object_arrays(run, capture.name, [asdict(geometry), shard, names, asked])
    chunk = chunk_within(shard)

    def create(mend: bool) -> None:
        for name, dtype in ((CORES, np.uint8), (PIECES, np.uint32), (PARTS, np.uint32)):
            store = between.child(name)
            create_image(store, geometry=geometry, dtype=dtype, name=name, chunk_zyx=chunk, shard_zyx=shard, mend=mend)
        for name in names:
            create_labels(
                image,
                objects_name(name),
                geometry=geometry,
                dtype=objects_dtype(capture.volume),
                classes=(),
                mend=mend,
                listed=False,
                coarsest_zyx=native.chunk_zyx,
                chunk_zyx=chunk,
                shard_zyx=shard,
            )

    former = (f"separate/{phase}/{capture.name}" for phase in SEPARATION)
    stores = [between, *(image.child("labels", objects_name(name)) for name in names)]
    # The network's cores are filled with its classes.
    again = (f"infer/{predicted_name(MULTILABEL, NATIVE)}/{capture.name}", "evaluate", "finish")
    _create(run, made, create, (*former, *again), stores, shared=stores[1:])


def _list_labels(run: Run, capture: CapturePlan, variant: str, targets: Sequence[str]) -> None:
    """Say what labels an image has, where all of them lie below it."""
    if run.keeps_predictions_apart or not targets:
        return
    truth = [TRUTH, SPLIT] if run.plan.networks and variant == NATIVE else []
    found = list(run.instances.values()) if variant == NATIVE else []
    truth += [objects_name(name, TRUTH) for name in found if truth]
    names = [*(segmentation_name(target) for target in targets), *(objects_name(name) for name in found), *truth]
    listed = provenance.label_list(run, capture.name, variant, names)
    if not listed.intact:
        image, _ = run.segmentation_place(MULTILABEL, capture.name, variant)
        with listed.making():
            list_labels(image, names)


def _create(
    run: Run,
    made: Marker,
    create: Callable[[bool], None],
    former: Iterable[str],
    stores: Sequence[Store],
    shared: Iterable[Store],
) -> None:
    """Create arrays; where they are there, mend their metadata only.

    Args:
        create: makes them; told whether they are there.
        former: markers of the work that filled arrays of another layout.
        stores: what such arrays are removed from.
        shared: groups whose metadata are written by those, too, who list coarser levels, and vouch for these.
    """
    if made.facts is not None:
        with recorded() as written:
            create(True)
        made.amend(written)
        return
    made.clear()
    for work in former:
        run.store.delete_all(f"{MARKERS}/{work}")
    for store in stores:
        store.delete_all()
    with made.making(without=[f"{group.url.removeprefix(run.store.url + '/')}/zarr.json" for group in shared]):
        create(False)


def _create_variant(run: Run, variant: str, capture: CapturePlan, geometry: Geometry, dtype: Any) -> None:
    shard = fit(run.config.inference.shard_zyx, geometry.shape_zyx)
    store = run.boosted_store(variant, capture.name)
    # Where other voxels are asked for, those of before must not stay beside them.
    asked = ends(boosted_regions(run, capture))
    layout = [geometry.shape_zyx, geometry.voxel_size_nm, shard, str(dtype), asked]
    made = provenance.boosted_arrays(run, capture.name, variant, layout)
    name, chunk = f"{capture.name}, {variant}", chunk_within(shard)

    def create(mend: bool) -> None:
        if not mend:  # the predictions below it went with it
            provenance.prediction_arrays(run, capture.name, MULTILABEL, variant, None).clear()
            provenance.label_list(run, capture.name, variant, ()).clear()
        create_image(store, geometry=geometry, dtype=dtype, name=name, chunk_zyx=chunk, shard_zyx=shard, mend=mend)

    # The last two wrote the coarser levels, which go with the arrays.
    _create(run, made, create, (f"boost/{variant}/{capture.name}", "compare", "finish"), [store], shared=[store])


def _coarser(fine: Geometry, by: Scaling) -> Geometry:
    z, y, x = fine.shape_zyx
    size_z, size_y, size_x = fine.voxel_size_nm
    shift_z, shift_y, shift_x = fine.translation_nm
    return Geometry(
        (z, by.coarse_length(y), by.coarse_length(x)),
        (size_z, size_y * by.factor, size_x * by.factor),
        (shift_z, shift_y + by.phase * size_y, shift_x + by.phase * size_x),
    )


def _finer(coarse: Geometry, by: Scaling) -> Geometry:
    z, y, x = coarse.shape_zyx
    size_z, size_y, size_x = coarse.voxel_size_nm
    shift_z, shift_y, shift_x = coarse.translation_nm
    fine_y, fine_x = size_y / by.factor, size_x / by.factor
    return Geometry(
        (z, by.fine_length(y), by.fine_length(x)),
        (size_z, fine_y, fine_x),
        (shift_z, shift_y - by.phase * fine_y, shift_x - by.phase * fine_x),
    )
