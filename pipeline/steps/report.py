"""One page that shows how good the models of a run are and where they err, made of what the run holds so far."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import quote

from PIL import UnidentifiedImageError

from pipeline import __version__
from pipeline.config.model import MULTILABEL
from pipeline.errors import DataError
from pipeline.figures.report.contents import (
    ClassObjects,
    ClassRegions,
    ClassVolume,
    Contents,
    Kind,
    Lacking,
    Link,
    TargetFacts,
)
from pipeline.figures.report.page import render
from pipeline.figures.report.pictures import Picture, thumbnail
from pipeline.figures.report.regions import class_regions
from pipeline.formats import sides, whole
from pipeline.run import provenance, worklog
from pipeline.run.events import Reporter
from pipeline.run.layout import CONFUSION, RENDERS, SUMMARY_JSON, Run
from pipeline.run.markers import Marker
from pipeline.run.progress import DAMAGED, TargetState, target_states, validations, why_no_renders
from pipeline.run.provenance import is_scored
from pipeline.run.shares import SHARES_CSV, read_shares
from pipeline.scoring import ablation_tables
from pipeline.scoring.ablation import Ablation
from pipeline.scoring.tables import ScoreTable
from pipeline.volume.split import Part
from pipeline.volume.stores import Store

PAGE = "report.html"
SCORES, ABLATION = "scores.json", "ablation.json"
GO_ON = "vemseg run study -p config=… -p run=RUN"
GO_ON_SEGMENTING = "vemseg run segment -p model=… -p input=… -p run=RUN"
GO_ON_BOOSTING = "vemseg run boost -p input=… -p run=RUN"
LOOK = "vemseg verify RUN"
PARTS: tuple[Part, ...] = ("train", "validation", "test")
TABLES = ("scores", "ablation", "shares", "objects", "contacts", "object_matches")
MOST_PREVIEWS = 24
"""More would make the page large; the others are named only."""
PREVIEW_PX = 1400
"""Of a figure of the slice in the middle of a segmented or boosted volume."""

RenderKind = Literal["scene", "film", "picture"]
RENDER_KINDS: Mapping[str, RenderKind] = {".html": "scene", ".gif": "film", ".mp4": "film", ".png": "picture"}


def report(run_url: str, *, unless_current: bool = False) -> str:
    """Write ``evaluation/report.html``, also for a run that is only half finished; return its URL.

    Args:
        run_url: the run.
        unless_current: leave a page as it is that was made of the present results.

    Raises:
        RunConflictError: there is no plan yet.
    """
    run = Run.open(run_url)
    url = f"{run.evaluation_store.url}/{PAGE}"
    with run.reporter("report") as reporter:
        marker = _marker(run)
        if unless_current and marker.intact:
            reporter.say("is done")
            return url
        with marker.making():
            page = render(_contents(run, reporter))
            run.evaluation_store.write(PAGE, page.encode())
        reporter.progress(1, 1, url)
        return url


def _marker(run: Run) -> Marker:
    """Of all that the page shows but times, which change even when nothing is done again."""
    keys = ["config.yaml", "plan.json", f"evaluation/{SCORES}", f"evaluation/{ABLATION}"]
    keys += [f"evaluation/{SHARES_CSV}", "evaluation/objects.csv", *(f"evaluation/{key}" for key in _preview_keys(run))]
    keys += [f"models/{target}/{name}" for target in run.plan.targets for name in ("history.json", "model.json")]
    # Names and sizes of renders: their contents would take longer to read than the page to make.
    renders = run.evaluation_store.child(RENDERS).states() if _has_renders(run) else ()
    return provenance.report(run, keys, [(key, size) for key, size, _ in renders])


def _contents(run: Run, reporter: Reporter) -> Contents:
    """Everything that the page shows."""
    table = run.scores
    targets = tuple(_target(run, state) for state in target_states(run))
    regions, no_regions = ((), "") if table is None else _regions(run, table, reporter)
    objects = _objects(run, table)
    lacking = tuple(_lacking(run, targets, no_regions, objects))
    workers, own = worklog.read_workers(run.store), run.volume_as_it_came
    return Contents(
        name=run.config.name,
        version=__version__,
        colors={member.name: member.color for member in run.config.classes.members},
        captures=run.plan.captures,
        targets=targets,
        facts=_planned(run),
        digests=_digests(run),
        work=worklog.work(workers),
        machines=worklog.machines(workers),
        scores=table,
        scores_outdated=table is not None and not is_scored(run),
        regions=regions,
        objects=objects,
        ablation=_ablation(run),
        links=tuple(_links(run.evaluation_store)),
        lacking=lacking,
        failures=_failures(run) if any(one.is_expected for one in lacking) else (),
        kind=_kind(run),
        own_grid=None if own is None else own.geometry,
        class_volumes=tuple(_class_volumes(run)),
        previews=tuple(_previews(run)),
    )


def _kind(run: Run) -> Kind:
    if run.plan.networks:
        return "study"
    return "segmentation" if run.plan.targets else "boosting"


def _class_volumes(run: Run) -> Iterator[ClassVolume]:
    for each in read_shares(run.evaluation_store):
        volume_um3 = each.voxels * run.predicted_geometry(each.capture).voxel_um3
        yield ClassVolume(each.target, each.name, each.voxels, each.share, volume_um3)


def _preview_keys(run: Run) -> list[str]:
    """Figures of the slice in the middle; a study has others."""
    return [] if run.plan.networks else sorted(run.evaluation_store.list("figures"))


def _previews(run: Run) -> Iterator[Picture]:
    for key in _preview_keys(run):
        title = PurePosixPath(key).stem.replace("_", " ")
        yield thumbnail(run.evaluation_store.read(key), title, PREVIEW_PX)


def _target(run: Run, state: TargetState) -> TargetFacts:
    """A network of the plan, with how its training went so far."""
    store = run.model_store(state.target)
    ended = store.exists("history.json")
    history = store.read_json("history.json") if ended else validations(run, state.target)
    model = store.read_json("model.json") if store.exists("model.json") else {}
    return TargetFacts(
        name=state.target,
        trained=state.trained,
        shards=state.shards_text,
        history=history,
        is_training=bool(history) and not ended,
        weights_sha256=str(model.get("weights_sha256", "")),
    )


def _regions(run: Run, table: ScoreTable, reporter: Reporter) -> tuple[tuple[ClassRegions, ...], str]:
    """The regions; or why there are none: confusion volumes are damaged, or not there, as in a copy without them."""
    if not any(True for _ in run.evaluation_store.list(CONFUSION)):
        return (), "the confusion volumes that regions are found in are not there."
    try:
        return class_regions(run, table, reporter), ""
    except DataError as error:
        reporter.say(f"no regions: {error}")
        return (), str(error)


def _objects(run: Run, table: ScoreTable | None) -> tuple[ClassObjects, ...]:
    """Nothing where no objects are told apart, or before that is done."""
    if not run.store.exists("evaluation/objects.parquet") or not run.instances:
        return ()
    from pipeline.figures.report.objects import class_objects  # Arrow is slow to import

    return class_objects(run, table.objects if table else {})


def _planned(run: Run) -> Mapping[str, str]:
    """Title and value of what a reader of the scores asks for first."""
    config, plan = run.config, run.plan
    training = config.training
    found = {"Receptive field, z, y, x": f"{sides(plan.receptive_field_zyx)} voxels"}
    if plan.networks:
        found |= {
            "Features by level": " → ".join(str(features) for features in config.network.features),
            "Guard between the parts": f"{sides(plan.guard_zyx)} voxels",
            "Training patch": f"{sides(plan.patch_zyx)} voxels, {training.batch_size} a batch",
            "Training steps": ", ".join(_training_steps(run)),
            "Learning rate": f"{training.learning_rate:g}",
        }
    found |= {
        "Grey values": f"mean {plan.intensity_mean:.1f}, standard deviation {plan.intensity_std:.1f}",
        "Inference block": f"{sides(plan.block_zyx)} voxels",
        "Seed": str(config.seed),
    }
    splits = [capture.split() for capture in plan.captures]
    parts = [sum(block.voxels for split in splits for block in split.of(part)) for part in PARTS]
    if any(parts):
        found["Voxels to train, validate, test"] = ", ".join(map(whole, parts))
    if plan.boosting is not None:
        found["Boosted"] = f"by {plan.boosting.factor:g}: {', '.join(plan.boosting.methods)}"
    return found


def _training_steps(run: Run) -> Iterator[str]:
    """Of the network of all classes, and of those of one, where there are any."""
    training, targets = run.config.training, set(run.plan.targets)
    if MULTILABEL in targets:
        yield f"{whole(training.steps)} {MULTILABEL}"
    if targets - {MULTILABEL}:
        yield f"{whole(training.binary_steps or training.steps)} binary"


def _digests(run: Run) -> Mapping[str, str]:
    """By which a result can be told from another: of the configuration, the plan and each capture's source files."""
    found = {f"{key}, SHA-256": hashlib.sha256(run.store.read(key)).hexdigest() for key in ("config.yaml", "plan.json")}
    return found | {f"source of {capture.name}": capture.digest for capture in run.plan.captures}


def _ablation(run: Run) -> Ablation | None:
    """What boosting did; None before that was compared."""
    try:
        return ablation_tables.from_json(run.evaluation_store.read(ABLATION).decode())
    except FileNotFoundError:
        return None


def _failures(run: Run) -> tuple[str, ...]:
    """How the last workflow on this run failed, node by node; empty when it did not, or has not ended."""
    if not run.store.exists(SUMMARY_JSON):
        return ()
    told = run.store.read_json(SUMMARY_JSON)
    if told["status"] == "Succeeded":
        return ()
    nodes = [f"{failure['node']}: {failure['message']}" for failure in told["failures"]]
    return (f"The workflow {told['workflow']} ended {told['status']} on {told['ended']}.", *nodes)


def _links(evaluation: Store) -> Iterator[Link]:
    """Files beside the report, by relative addresses: scenes, films and pictures, then tables and figures."""
    paths = [path for path in map(PurePosixPath, evaluation.list(RENDERS)) if path.suffix in RENDER_KINDS]
    for number, path in enumerate(sorted(paths, key=_rank)):
        title = " ".join([*path.parts[1:-1], *path.stem.split("_")])
        preview = _preview(evaluation, path, title) if number < MOST_PREVIEWS else None
        yield Link(quote(str(path)), title, RENDER_KINDS[path.suffix], preview)
    for key in evaluation.list():
        path = PurePosixPath(key)
        if (len(path.parts) == 1 and path.stem in TABLES) or path.parts[0] == "figures":
            yield Link(quote(key), key, "other")


def _rank(path: PurePosixPath) -> tuple[int, bool, PurePosixPath]:
    """By kind; pictures of a single class after those of all."""
    return list(RENDER_KINDS).index(path.suffix), path.stem.startswith("class_"), path


def _preview(evaluation: Store, path: PurePosixPath, title: str) -> Picture | None:
    """Of a picture, itself; of a film, its first frame; of a scene, none."""
    if path.suffix not in (".png", ".gif"):
        return None
    try:
        return thumbnail(evaluation.read(str(path)), f"Render: {title}")
    except UnidentifiedImageError:
        return None


def _lacking(
    run: Run, networks: Sequence[TargetFacts], no_regions: str, objects: Sequence[ClassObjects]
) -> Iterator[Lacking]:
    """What cannot be shown, in the order of the page."""
    kind = _kind(run)
    if run.instances and not objects:
        go_on = GO_ON if kind == "study" else GO_ON_SEGMENTING
        yield Lacking("objects", "objects are not told apart and measured yet.", go_on)
    if kind != "study":
        yield from _lacking_of_volume(run, kind, networks)
        return
    yield from _lacking_of_study(run, networks, no_regions)
    if not _has_renders(run):
        reason = why_no_renders(run)
        words = f"no renders could be made: {reason}." if reason else "no renders have been made."
        yield Lacking("renders", words, "vemseg render RUN", is_expected=bool(reason))


def _lacking_of_volume(run: Run, kind: Kind, networks: Sequence[TargetFacts]) -> Iterator[Lacking]:
    go_on = GO_ON_SEGMENTING if kind == "segmentation" else GO_ON_BOOSTING
    if kind == "segmentation" and not read_shares(run.evaluation_store):
        shards = ", ".join(f"{network.shards} shards predicted" for network in networks)
        yield Lacking("classes", f"the volume is not segmented yet: {shards}.", go_on)
    if not _preview_keys(run):
        yield Lacking("previews", "is drawn at the end.", go_on)


def _lacking_of_study(run: Run, networks: Sequence[TargetFacts], no_regions: str) -> Iterator[Lacking]:
    if not run.store.exists(f"evaluation/{SCORES}"):
        yield _unscored(networks)
        for part in ("confusion", "regions"):
            yield Lacking(part, "comes with the scores.", is_expected=False)
    elif no_regions:
        yield Lacking("regions", no_regions, LOOK if DAMAGED in no_regions else "vemseg evaluate --run RUN")
    if not any(network.history for network in networks):
        yield Lacking("training", "no network has got as far as its first validation.", GO_ON)
    if run.store.exists(f"evaluation/{ABLATION}"):
        return
    if run.plan.boosting is None:
        reason = "this study boosts nothing: its configuration has no boosting.methods."
        yield Lacking("boosting", reason, is_expected=False)
    else:
        reason = "the boosted versions of the test part are not compared yet."
        yield Lacking("boosting", reason, "vemseg boost compare --run RUN")


def _unscored(networks: Sequence[TargetFacts]) -> Lacking:
    damaged = [network.name for network in networks if network.trained == DAMAGED]
    if damaged:
        return Lacking("scores", f"models are damaged: {', '.join(damaged)}.", LOOK)
    untrained = [network.name for network in networks if network.trained == "no"]
    if untrained:
        trained = f"{len(networks) - len(untrained)} of {len(networks)} networks are trained"
        return Lacking("scores", f"{trained}, not yet {', '.join(untrained)}; scores need all of them.", GO_ON)
    unfinished = [f"{network.name} ({network.shards})" for network in networks if not _is_predicted(network)]
    if unfinished:
        return Lacking("scores", f"shards are not all predicted yet: {', '.join(unfinished)}.", GO_ON)
    return Lacking("scores", "everything is predicted, but not scored.", "vemseg evaluate --run RUN")


def _is_predicted(network: TargetFacts) -> bool:
    done, _, of = network.shards.partition(" of ")
    return done == of


def _has_renders(run: Run) -> bool:
    return any(True for _ in run.evaluation_store.list(RENDERS))
