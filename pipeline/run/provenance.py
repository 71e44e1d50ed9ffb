"""What each result of a run depends on: every done-marker and every digest, in the order in which the data go.

A result is made again when its digest has changed: when something that it depends on has, or the number of its kind in
`SCHEMA`. What leaves a result as it is must not be in its digest: the colour of a class, the number of workers, the
time stamp of a file, the version of vemseg.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel

from pipeline.config.model import MERGED, MULTILABEL, Capture, Classes
from pipeline.config.settings import Section
from pipeline.errors import CheckpointError, RunConflictError
from pipeline.nn.description import WEIGHTS, refuse_changed
from pipeline.nn.zssr.methods import METHODS
from pipeline.run.layout import NATIVE, SMALLEST_OBJECTS, Run, predicted_name
from pipeline.run.markers import Marker
from pipeline.run.phases import SEPARATION
from pipeline.run.plan import CapturePlan
from pipeline.run.works import (
    DOWNSAMPLED,
    NETWORKS,
    ShardWork,
    Task,
    boosted_regions,
    boosted_slices,
    boosting_plan,
    predicted_blocks,
    predicted_regions,
    shard_works,
    wanted_within,
)
from pipeline.volume.geometry import Block
from pipeline.volume.greyvalues import GreyMap
from pipeline.volume.stores import Store

SCHEMA = {
    "capture": 1,
    "plan": 4,
    "split": 2,
    "arrays": 1,
    "pool": 2,
    "model": 4,
    "predictions": 3,
    "objects": 4,
    "measured": 1,
    "merging": 2,
    "merged": 1,
    "coarse": 1,
    "network": 2,
    "boosted": 1,
    "scores": 2,
    "renders": 1,
    "ablation": 1,
    "segmentation": 1,
    "boosting": 1,
    "report": 2,
    "resampled": 1,
}
"""The number of each kind of result. Raise it with a change of code that changes the result: it is made again in runs
that were made before, and so is what depends on it. `tests/run/test_golden.py` fails when that was forgotten."""


# The plan says more of the first two, the last is about what is made of predictions, the others leave every voxel as it
# is.
_LEAVES_PREDICTIONS = {"region", "block_zyx", "shard_zyx", "workers", "memory_gb", "reach_nm", "merged", "doubt"}


def digest(kind: str, *things: Any) -> str:
    """A digest of a kind of result made of JSON-like data and configuration sections."""
    plain = [thing.model_dump(mode="json") if isinstance(thing, BaseModel) else thing for thing in things]
    text = json.dumps([kind, SCHEMA[kind], plain], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


# --- captures: image, labels and parts, by the plan step


def capture_digest(files: Mapping[str, Any], capture: Capture, classes: Classes, voxel_size_nm: Sequence[float]) -> str:
    """A labelled capture depends on the content of its files, and on how they are read.

    Args:
        files: the content of the image (``raw``), of each label file, and of ids of objects (``objects/`` and class).
        voxel_size_nm: as the capture or its file states it, z, y, x.
    """
    ids = [(member.name, member.ids, member.fill) for member in classes.members]
    how = [ids, classes.ignore_ids, classes.exclusive, voxel_size_nm, capture.labelled()]
    return digest("capture", files, *how, *filter(None, [classes.unlabelled(capture)]))


def run_of_slices_digest(capture: str, start: int, stop: int) -> str:
    """A run of labelled slices depends on its capture."""
    return digest("capture", capture, start, stop)


def volume_digest(content: Any, voxel_size_nm: Sequence[float]) -> str:
    """A volume without labels depends on its files and its voxel size."""
    return digest("capture", content, voxel_size_nm)


def ingested(run: Run, name: str, made_from: str) -> Marker:
    """The image and the labels of a capture."""
    return _marker(run, f"plan/{name}/ingest", made_from)


def true_objects(run: Run, capture: str, class_name: str, made_from: str) -> Marker:
    """The objects of a class as labelled depend on the capture, to which the file of their ids belongs, if any."""
    return _marker(run, f"plan/{capture}/objects-{class_name}", digest("objects", made_from))


def planned(run: Run, config: str) -> Marker:
    """``config.yaml`` and ``plan.json`` depend on the configuration; the plan, on what it found in the files."""
    return _marker(run, "plan/plan", digest("plan", config))


def split(run: Run, name: str, capture: str, parts: Any, grey_map: GreyMap | None) -> Marker:
    """The parts of a capture, and what was measured in them, depend on the capture, its map and where the parts lie."""
    return _marker(run, f"plan/{name}/split", digest("split", capture, parts, *_map(grey_map)))


# --- empty arrays, by the plan step; they depend on their layout and on the voxels that are asked for


def pool_arrays(run: Run, layout: Any) -> Marker:
    """The arrays of the pool."""
    return _marker(run, "plan/pool", digest("arrays", layout))


def prediction_arrays(run: Run, capture: str, target: str, variant: str, layout: Any) -> Marker:
    """The arrays of a target's predictions."""
    return _marker(run, f"plan/{capture}/predictions-{predicted_name(target, variant)}", digest("arrays", layout))


def object_arrays(run: Run, capture: str, layout: Any) -> Marker:
    """The arrays of objects, and of what lies between them and the network's answer."""
    return _marker(run, f"plan/{capture}/separation", digest("arrays", layout))


def label_list(run: Run, capture: str, variant: str, names: Sequence[str]) -> Marker:
    """The list by which viewers find the labels of an image: truth, parts and predictions, which others write."""
    return _marker(run, f"plan/{capture}/labels-{variant}", digest("arrays", names))


def boosted_arrays(run: Run, capture: str, variant: str, layout: Any) -> Marker:
    """The array of a capture in another variant."""
    return _marker(run, f"plan/{capture}/boosted-{variant}", digest("arrays", layout))


# --- the pool, by augment


def samples_digest(run: Run) -> str:
    """Samples depend on the training part, on how it is normalised and augmented, and on the seed."""
    config, plan = run.config, run.plan
    return digest(
        "pool",
        config.seed,
        [len(config.classes.members), config.classes.exclusive],
        config.augmentation,
        [(each.digest, each.parts["train"], *_map(each.grey_map)) for each in plan.captures],
        plan.patch_zyx,
        [plan.intensity_mean, plan.intensity_std],
        *_instances(config.classes),
    )


def pool_shard(run: Run, index: int) -> Marker:
    """A shard of the pool depends on what its samples do."""
    return _marker(run, f"augment/{index:06d}", samples_digest(run))


# --- models, by train


def steps_of(run: Run, target: str) -> int:
    """Training steps of a target's network."""
    settings = run.config.training
    return settings.steps if target == MULTILABEL else settings.binary_steps or settings.steps


# Which networks are trained and how often they are saved leave each of them as it is; the plan says more of the others.
_NOT_OF_A_MODEL = {"targets", "checkpoint_minutes", "devices", "steps", "binary_steps", "start_from"}


def model(run: Run, target: str) -> Marker:
    """A model depends on the samples, the validation part, the settings of training, and the plan of its network.

    One that learns on depends on the model that it began with, too.
    """
    config = run.config
    return _marker(
        run,
        f"train/{target}",
        digest(
            "model",
            samples_digest(run),
            [each.parts["validation"] for each in run.plan.captures],
            config.classes.names,
            _settings(config.training, without=_NOT_OF_A_MODEL),
            steps_of(run, target),
            run.plan.networks[target],
            *_start(run, target),
        ),
    )


def _start(run: Run, target: str) -> Iterator[str]:
    if target in run.plan.starts:
        yield run.plan.starts[target]


def start_digest(weights: str, outputs: Sequence[str]) -> str:
    """What a network begins with depends on the weights of a trained one, and on what its outputs are called."""
    return digest("model", weights, outputs)


def start_model(run: Run, target: str, made_from: str) -> Marker:
    """The trained model that a target's network begins with."""
    return _marker(run, f"plan/start-{target}", made_from)


def given_model(run: Run, target: str, weights: str) -> Marker:
    """A model that was trained in another run depends on its weights."""
    return _marker(run, f"plan/model-{target}", digest("model", weights))


def model_digest(run: Run, target: str) -> str:
    """Of what a model as it lies there makes of voxels.

    Raises RunConflictError when it is missing, or of an earlier plan, and CheckpointError when it was changed.
    """
    url, cure = run.model_store(target).url, f"run `vemseg train --run ... --target {target}` first"
    try:
        told = refuse_changed(run.model_store(target).read_json("model.json"), url)
    except FileNotFoundError as error:
        raise RunConflictError(f"{url} holds no model; {cure}") from error
    # A run that only segments was given a trained model, and has no networks to train.
    if run.plan.networks:
        trained = model(run, target)
        if trained.facts is None:
            raise RunConflictError(
                f"the model in {url} is of an earlier plan, or of an earlier version of vemseg; {cure}"
            )
        if trained.lacking:
            raise CheckpointError(f"{run.store.url}/{trained.lacking}; to train again, {cure}")
    # A model of 0.1.0 has no confidence.
    things = [told[key] for key in (WEIGHTS, "target", "plan", "normalisation", "confidence") if key in told]
    return digest("model", things)


# --- coarse and boosted images, and the networks that learn to boost: by boost degrade, train and apply


def coarse_digest(run: Run, capture: CapturePlan) -> str:
    """A coarse image depends on the capture, the kernel, and which slices are asked for."""
    plan = boosting_plan(run)
    if not plan.downsampled:
        return digest("coarse", capture.digest)
    return digest("coarse", capture.digest, plan.factor, plan.kernel, boosted_slices(run, capture))


def coarse(run: Run) -> list[ShardWork]:
    """All shards of the coarse images that hold slices which are wanted."""
    return [work for capture in run.plan.captures for work in _coarse(run, capture)]


def _coarse(run: Run, capture: CapturePlan) -> Iterator[ShardWork]:
    _, y, x = run.variant(DOWNSAMPLED, capture.name).shape_zyx
    slices = tuple(Block((z, 0, 0), (z + 1, y, x)) for z in boosted_slices(run, capture))
    return _boost_works(run, DOWNSAMPLED, capture, slices, coarse_digest(run, capture))


def refuse_missing_coarse(run: Run) -> None:
    """Raise RunConflictError when the coarse images are not made yet."""
    if boosting_plan(run).downsampled and not all(work.marker.done for work in coarse(run)):
        raise RunConflictError(
            f"the coarse images in {run.store.url} are not complete; run `vemseg boost degrade --run ...` first"
        )


def tasks(run: Run) -> Iterator[Task]:
    """All networks that learn to boost, in the order in which they can be trained.

    A stack has one network, or one a slice; with gradual factors each of them has networks at smaller factors before
    its last one, and learns from what these have reached.
    """
    for capture in run.plan.captures:
        slices = boosted_slices(run, capture)
        is_one = run.config.boosting.zssr.mode == "stack"
        groups = [tuple(slices)][: len(slices)] if is_one else [(z,) for z in slices]
        for group in groups:
            yield from _tasks_of(run, capture, group)


def last_tasks(run: Run, capture: CapturePlan) -> Iterator[Task]:
    """Those whose networks boost a capture."""
    factor = boosting_plan(run).factor
    return (task for task in tasks(run) if task.capture.name == capture.name and task.factor == factor)


def earlier_tasks(run: Run, task: Task) -> list[Task]:
    """Those whose results a network learns from."""
    return [
        other
        for other in tasks(run)
        if (other.capture.name, other.slices) == (task.capture.name, task.slices) and other.factor < task.factor
    ]


def _tasks_of(run: Run, capture: CapturePlan, slices: tuple[int, ...]) -> Iterator[Task]:
    """A network depends on the coarse image, its slices and factors, the kernel, the settings and the seed."""
    plan, settings = boosting_plan(run), run.config.boosting.zssr
    factors = (*settings.gradual_factors, plan.factor)
    for number, factor in enumerate(factors, start=1):
        group = [f"slice_{slices[0]:04d}"] if settings.mode == "slice" else []
        stage = [] if factor == plan.factor else [f"factor_{factor:g}"]
        place = (capture.name, *group, *stage)
        # How a network is used goes into the training of those at the factors after its own.
        use = {"self_ensemble", "precision"} if number == 1 else set()
        made_from = digest(
            "network",
            coarse_digest(run, capture),
            slices,
            factors[:number],
            plan.learnt_kernel,
            _settings(settings, without={"kernel", "gradual_factors", *use}),
            run.config.seed,
        )
        marker = _marker(run, "/".join(("boost", "train", *place)), made_from)
        yield Task(capture, slices, factors[:number], "-".join(place), run.model_store(NETWORKS).child(*place), marker)


def network_digest(task: Task) -> str:
    """Of a trained network. Raises RunConflictError when it is not trained yet."""
    facts = task.marker.facts
    if facts is None:
        raise RunConflictError(
            f"{task.store.url} holds no network for super-resolution yet; run `vemseg boost train --run ...` first"
        )
    return str(facts["weights_sha256"])


def boosted_digest(run: Run, method: str, capture: CapturePlan) -> str:
    """A boosted capture depends on the coarse one, the factor and the method, and on the networks of the latter.

    Raises RunConflictError while a network for it is missing.
    """
    made_from = [coarse_digest(run, capture), boosting_plan(run).factor, method, _ends(boosted_regions(run, capture))]
    if METHODS[method].learns:
        settings = run.config.boosting.zssr
        made_from += [settings.self_ensemble, settings.back_projections, settings.precision]
        made_from += [network_digest(task) for task in last_tasks(run, capture)]
    return digest("boosted", *made_from)


def boosted(run: Run, method: str) -> list[ShardWork]:
    """All shards that a method fills, in the order in which workers share them out."""
    return [work for capture in run.plan.captures for work in _boosted(run, method, capture)]


def _boosted(run: Run, method: str, capture: CapturePlan) -> Iterator[ShardWork]:
    wanted = boosted_regions(run, capture)
    return _boost_works(run, method, capture, wanted, boosted_digest(run, method, capture))


def _boost_works(
    run: Run, variant: str, capture: CapturePlan, wanted: tuple[Block, ...], made_from: str
) -> Iterator[ShardWork]:
    return shard_works(
        run.variant(variant, capture.name),
        capture,
        variant,
        wanted_within(wanted),
        lambda place: _marker(run, f"boost/{variant}/{capture.name}/{place}", made_from),
    )


# --- predictions, by infer


def predicted(run: Run, target: str, variant: str = NATIVE) -> list[ShardWork]:
    """All shards of a target that hold voxels to predict, in the order in which workers share them out.

    They depend on the weights, the settings of inference, the image, which may be boosted, and what is done to its grey
    values. Raises RunConflictError when model or image is not there.
    """
    network = model_digest(run, target)
    settings = _settings(run.config.inference, without=_LEAVES_PREDICTIONS)
    settings["probabilities"] = run.config.inference.stores_probabilities
    return [
        work for capture in run.plan.captures for work in _predicted(run, target, variant, capture, network, settings)
    ]


def _predicted(
    run: Run, target: str, variant: str, capture: CapturePlan, network: str, settings: dict[str, Any]
) -> Iterator[ShardWork]:
    image = capture.digest if variant == NATIVE else _complete_boosted_digest(run, variant, capture)
    regions = _ends(predicted_regions(run, capture, variant))
    seen = _map(capture.grey_map)
    made_from = digest("predictions", network, settings, image, regions, run.plan.block_zyx, *seen)
    return shard_works(
        run.segmentation(target, capture.name, variant),
        capture,
        variant,
        predicted_blocks(run, capture, variant),
        lambda place: _marker(run, f"infer/{predicted_name(target, variant)}/{capture.name}/{place}", made_from),
    )


def _complete_boosted_digest(run: Run, variant: str, capture: CapturePlan) -> str:
    if not all(work.marker.done for work in _boosted(run, variant, capture)):
        raise RunConflictError(
            f"{capture.name} is not boosted by {variant} yet; run `vemseg boost apply --run ... --method {variant}` "
            "first"
        )
    return boosted_digest(run, variant, capture)


def segmented(run: Run, segmentation: str, variant: str = NATIVE) -> list[ShardWork]:
    """All shards of a segmentation: of a network's, or of that which is merged of all of them."""
    return merged(run) if segmentation == MERGED else predicted(run, segmentation, variant)


def refuse_incomplete(run: Run, segmentation: str, capture: str | None = None) -> None:
    """Raise RunConflictError when a shard of a segmentation of all captures, or of one, is missing."""
    works = [work for work in segmented(run, segmentation) if capture in (None, work.capture.name)]
    _refuse_missing(works, *(_MERGED if segmentation == MERGED else _PREDICTED))


_PREDICTED = ("predicted", "run the infer step of every target first")
_MERGED = ("merged", "run `vemseg merge --run ...` first")


def _refuse_missing(works: Sequence[ShardWork], made: str, cure: str) -> None:
    missing = [work for work in works if not work.marker.done]
    if missing:
        raise RunConflictError(
            f"{len(missing)} of {len(works)} shards are not {made} yet, the first being {missing[0].marker.key}; {cure}"
        )


def refuse_damaged(run: Run, targets: Sequence[str] | None = None, variant: str = NATIVE) -> None:
    """Raise RunConflictError when a predicted shard is not what was written; of all there are, if none are named."""
    for target in run.segmentations if targets is None else targets:
        for work in segmented(run, target, variant):
            if not work.marker.intact:
                raise RunConflictError(
                    f"files that {work.marker.key} in {run.store.url} lists are damaged; `vemseg verify` names "
                    f"them, and running the {'merge' if target == MERGED else 'infer'} step again makes them anew"
                )


def _complete_predictions(run: Run, wanted: Iterable[tuple[str, str]]) -> list[str]:
    """Of all shards of targets and variants. Raises RunConflictError when one of them is not predicted yet."""
    works = [work for target, variant in wanted for work in predicted(run, target, variant)]
    _refuse_missing(works, *_PREDICTED)
    return [work.marker.digest for work in works]


# --- objects, by separate


@dataclass(frozen=True)
class CaptureWork:
    """Joining the tables of all shards of a capture."""

    capture: CapturePlan
    marker: Marker


def separation(run: Run, phase: str) -> list[ShardWork]:
    """The shards of a phase of telling objects apart, in the order in which workers share them out.

    They depend on the predictions, how far cores grow, and how large an object must be.
    Raises RunConflictError when a shard is not predicted yet.
    """
    return [work for capture in run.plan.captures for work in _separation(run, phase, capture)]


def joining(run: Run, phase: str) -> list[CaptureWork]:
    """The captures whose tables a phase joins. Raises RunConflictError when a shard is not predicted yet."""
    return [
        CaptureWork(capture, _marker(run, f"separate/{phase}/{capture.name}", _objects_digest(run, capture)))
        for capture in run.plan.captures
        if predicted_regions(run, capture)
    ]


def objects(run: Run) -> list[str]:
    """Digests of all that is told apart and measured; nothing where no class has objects.

    Raises RunConflictError when they are not told apart yet.
    """
    works = separation(run, SEPARATION[-1]) if run.instances else []
    _refuse_missing(works, "told apart into objects", "run `vemseg separate --run ...` first")
    return [work.marker.digest for work in works]


def _separation(run: Run, phase: str, capture: CapturePlan) -> Iterator[ShardWork]:
    made_from = _objects_digest(run, capture)
    if phase == "measure":
        made_from = digest("measured", made_from, run.membrane, run.plan.capture(capture.name).voxel_size_nm)
    return shard_works(
        run.segmentation(MULTILABEL, capture.name),
        capture,
        NATIVE,
        wanted_within(predicted_regions(run, capture)),
        lambda place: _marker(run, f"separate/{phase}/{capture.name}/{place}", made_from),
    )


def _objects_digest(run: Run, capture: CapturePlan) -> str:
    works = [work for work in predicted(run, MULTILABEL) if work.capture.name == capture.name]
    _refuse_missing(works, *_PREDICTED)
    told = run.model_store(MULTILABEL).read_json("model.json")
    return digest(
        "objects",
        sorted({work.marker.digest for work in works}),
        sorted(run.instances),
        told.get(SMALLEST_OBJECTS),
        run.reach_nm,
    )


# --- one segmentation out of those of all networks, by merge


def merging(run: Run) -> Marker:
    """How networks are weighed depends on what each of them says of the validation part.

    Raises RunConflictError when a network is not trained yet.
    """
    return _marker(run, "merge/weights", digest("merging", [model_digest(run, target) for target in run.plan.targets]))


def merged(run: Run) -> list[ShardWork]:
    """All shards of the merged segmentation, in the order in which workers share them out.

    They depend on the predictions of all networks, on how these are weighed, and on whether doubt is asked for. Raises
    RunConflictError when a prediction is missing.
    """
    predictions = _complete_predictions(run, ((target, NATIVE) for target in run.plan.targets))
    made_from = digest("merged", predictions, merging(run).digest, run.config.inference.doubt)
    return [work for capture in run.plan.captures for work in _merged(run, capture, made_from)]


def _merged(run: Run, capture: CapturePlan, made_from: str) -> Iterator[ShardWork]:
    return shard_works(
        run.segmentation(MERGED, capture.name),
        capture,
        NATIVE,
        predicted_blocks(run, capture, NATIVE),
        lambda place: _marker(run, f"merge/{capture.name}/{place}", made_from),
    )


def _complete_segmentations(run: Run) -> list[str]:
    """Of all shards of all networks and, where asked for, of what is merged of them.

    Raises RunConflictError when one of them is missing.
    """
    predictions = _complete_predictions(run, ((target, NATIVE) for target in run.plan.targets))
    works = merged(run) if run.config.inference.merged else []
    _refuse_missing(works, *_MERGED)
    return predictions + [work.marker.digest for work in works]


# --- what is made of all predictions


def scores(run: Run) -> Marker:
    """Tables, confusion volumes and figures depend on the predictions, and on how classes are called and coloured.

    Raises RunConflictError when a prediction is missing.
    """
    predictions = _complete_segmentations(run) + objects(run)
    # The renders have a marker of their own.
    drawn = _settings(run.config.evaluation, without={"renders"})
    return _marker(run, "evaluate/scores", digest("scores", predictions, run.config.classes, drawn))


def is_scored(run: Run) -> bool:
    """Whether the tables are those of the run's plan and of what is predicted now."""
    try:
        return scores(run).done
    except (RunConflictError, CheckpointError):
        return False


def renders(run: Run) -> Marker:
    """Renders depend on the scored predictions. Raises RunConflictError when a prediction is missing."""
    return _marker(run, "render/renders", digest("renders", scores(run).digest))


def ablation(run: Run, variants: Sequence[str]) -> Marker:
    """The comparison depends on the predictions of all variants, the classes, the size of its blocks and the seed.

    Raises RunConflictError when a prediction is missing.
    """
    predictions = _complete_predictions(run, ((MULTILABEL, variant) for variant in variants))
    settings = (run.config.boosting.comparison_block_zyx, run.config.classes, run.config.seed)
    return _marker(run, "compare/ablation", digest("ablation", predictions, *settings))


def finished_segmentation(run: Run) -> Marker:
    """Coarser levels, shares and previews depend on the predictions and the classes.

    Raises RunConflictError when a prediction is missing.
    """
    predictions = _complete_predictions(run, ((target, NATIVE) for target in run.plan.targets)) + objects(run)
    return _marker(run, "finish/segmentation", digest("segmentation", predictions, run.config.classes))


def finished_boosting(run: Run) -> Marker:
    """Coarser levels and pictures depend on the boosted shards. Raises RunConflictError while one is missing."""
    works = [work for method in boosting_plan(run).methods for work in boosted(run, method)]
    _refuse_missing(works, "boosted", "run `vemseg boost apply --run ...` first")
    return _marker(run, "finish/boosted", digest("boosting", [work.marker.digest for work in works]))


def report(run: Run, keys: Iterable[str], pictures: Any) -> Marker:
    """The report depends on what it shows but times, which change even when nothing is done again.

    Args:
        keys: of the files that it shows.
        pictures: which it shows.
    """
    contents = {key: hashlib.sha256(run.store.read(key)).hexdigest() for key in keys if run.store.exists(key)}
    return _marker(run, "report/page", digest("report", contents, pictures))


# --- outside a run


def resampled(store: Store, content: Any, voxel_size_nm: Sequence[float], to_nm: Sequence[float]) -> Marker:
    """A resampled volume depends on the file and both voxel sizes."""
    return Marker(store, "done.json", resampled_digest(content, voxel_size_nm, to_nm))


def resampled_digest(content: Any, voxel_size_nm: Sequence[float], to_nm: Sequence[float]) -> str:
    """The same, of a volume that is resampled within a run."""
    return digest("resampled", content, voxel_size_nm, to_nm)


def _marker(run: Run, name: str, made_from: str) -> Marker:
    return Marker(run.store, f"done/{name}.json", made_from)


def _map(grey_map: GreyMap | None) -> list[Any]:
    """Nothing where grey values stay as they are: that is as it was before there were maps."""
    return [] if grey_map is None else [asdict(grey_map)]


def _instances(classes: Classes) -> list[Any]:
    """Nothing where no objects are told apart; what labels say of objects goes into samples as their cores."""
    told_apart = [(number, member.rim_nm) for number, member in classes.instances.items()]
    return [SCHEMA["objects"], told_apart] if told_apart else []


def _settings(section: Section, *, without: set[str]) -> dict[str, Any]:
    return section.model_dump(mode="json", exclude=without)


def _ends(blocks: Iterable[Block]) -> list[Any]:
    return [(block.start_zyx, block.stop_zyx) for block in blocks]
