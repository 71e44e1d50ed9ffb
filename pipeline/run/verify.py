"""Looking through a run for what is damaged: every object that a marker vouches for, and every marker that should be.

What tells times is no result and is not looked at: events, metrics, logs, and the summary of a workflow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.config.model import MERGED, MULTILABEL
from pipeline.errors import InputError, RunConflictError
from pipeline.nn.zssr.methods import METHODS, learning
from pipeline.run import provenance
from pipeline.run.layout import DOUBT, NATIVE, OBJECTS, OWN_GRID, Run, segmentation_name
from pipeline.run.markers import MARKERS, Marker, Output, damage_of, is_of_earlier_version, outputs_of, read_marker
from pipeline.run.phases import JOINS, SEPARATION
from pipeline.run.pool import Pool
from pipeline.run.shards import Work
from pipeline.run.works import NETWORKS
from pipeline.volume.stores import Store

STEPS = {
    "plan": "plan",
    "augment": "augment",
    "train": "train",
    "infer": "infer",
    "separate": "separate",
    "merge": "merge",
    "evaluate": "evaluate",
    "render": "render",
    "report": "report",
    "finish": "finish",
    "compare": "boost compare",
    "boost": "boost apply",
    "boost/train": "boost train",
    "boost/downsampled": "boost degrade",
}
"""Folder of markers -> the step that writes them."""


@dataclass(frozen=True)
class Damage:
    """What is wrong with an object of a run, and the step that makes it anew; none where nothing asks for it."""

    key: str
    problem: str
    step: str

    def __str__(self) -> str:
        cure = f"the step {self.step} makes it anew" if self.step else "remove it, or run the study to its end"
        return f"{self.key} {self.problem}; {cure}"


def verify(
    run_url: str,
    *,
    under: str = "",
    without: str = "",
    unfinished: bool = False,
    looked_at: Callable[[int], object] = lambda _: None,
) -> list[Damage]:
    """What of a run is not as it was written, sorted by key; nothing where it is whole.

    Args:
        run_url: the run.
        under: only objects whose keys start with this, such as ``models/multilabel/``.
        without: none of those whose keys start with this, if it is not empty.
        unfinished: what is not there may not have been made yet.
        looked_at: told how many markers were looked at so far.

    Raises:
        InputError: there is no run here, or one of an earlier version, which kept no checksums.
    """
    run = Run.open(run_url)
    marks = sorted(key for key in run.store.list(MARKERS) if key.endswith(".json"))
    _refuse_other_versions(run, marks)
    found = {damage.key: damage for damage in _of_markers(run.store, marks, under, looked_at)}
    if not unfinished:
        for damage in _unmet(run, set(marks), under):
            found.setdefault(damage.key, damage)
        # What a lost marker vouched for is made anew with it.
        to_be_made = tuple(home for key in found if key.startswith(f"{MARKERS}/") for home in _homes(key))
        for damage in _unasked(run.store, marks, under):
            if not damage.key.startswith(to_be_made):
                found.setdefault(damage.key, damage)
    hidden = [key for key in found if without and (key.startswith(without) or _is_of_others(key, under, without))]
    return [found[key] for key in sorted(found.keys() - set(hidden))]


def _is_of_others(key: str, under: str, without: str) -> bool:
    return key.startswith(f"{MARKERS}/") and not _concerns(key, under, without)


def damages_of_copy(folder: Path, names: Iterable[str]) -> list[Damage]:
    """What of a run's files that were fetched into a folder is not as it was written; the first is first by key.

    Args:
        names: of the files that were fetched now; a marker of an earlier time says nothing of them.
    """
    store, fetched = Store.open(folder), set(names)
    marks = sorted(name for name in fetched if name.startswith(f"{MARKERS}/"))
    tops = tuple({f"{name.partition('/')[0]}/" for name in fetched if not name.startswith(f"{MARKERS}/")})
    damages = _of_markers(store, marks, tops, lambda _: None)
    return sorted(damages, key=lambda damage: damage.key) if _is_vouched_for(store) else []


def refuse_damaged(run: Run, under: str, without: str = "") -> None:
    """Raise RunConflictError, naming the first object, when something under a prefix is not as it was written."""
    damages = verify(run.store.url, under=under, without=without)
    if damages:
        raise RunConflictError(
            f"{run.store.url} is damaged: {damages[0]} ({len(damages)} in all; `vemseg verify` names them)"
        )


def refuse_damaged_volume(volume: Store) -> None:
    """`refuse_damaged` for a volume, if it lies in a run whose results are vouched for; an image without its labels."""
    url, under = volume.url, ""
    while "/" in url.split("://")[-1].strip("/"):
        url, _, name = url.rpartition("/")
        under = f"{name}/{under}"
        store = Store(url)
        if store.exists("plan.json"):
            if _is_vouched_for(store):
                refuse_damaged(Run(store), under, f"{under}labels/")
            return


class Vouched:
    """What the markers of a run vouch for, to look at objects one by one before they are handed out.

    An object is read once, and again when it has changed. It may be used from any thread.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        marks = [key for key in store.list(MARKERS) if key.endswith(".json")]
        self._outputs = dict(_outputs(store, marks)) if _is_vouched_for(store) else None
        self._whole: dict[str, tuple[int, int]] = {}

    def problem_of(self, key: str) -> str:
        """What is wrong with an object of a local run, in words; empty where it is as it was written.

        An object of an array that no marker speaks of is wrong, there or not: its zeros would be nobody's.
        """
        if self._outputs is None or (key not in self._outputs and not _is_of_array(key)):
            return ""
        if key not in self._outputs:
            return "is vouched for by no marker"
        folder = self._store.local_path()
        assert folder is not None
        try:
            state = (folder / key).stat()
        except OSError:
            return damage_of(self._store, key, self._outputs[key])
        now = (state.st_size, state.st_mtime_ns)
        problem = "" if self._whole.get(key) == now else damage_of(self._store, key, self._outputs[key])
        if not problem:
            self._whole[key] = now
        return problem


def _outputs(store: Store, marks: Iterable[str]) -> Iterator[tuple[str, Output]]:
    for key in marks:
        content = read_marker(store, key)
        yield from outputs_of(content).items() if content else ()


def _is_of_array(key: str) -> bool:
    """Whether an object holds voxels: zarr keeps them below ``c/``, named by their place in the grid."""
    array, _, place = key.rpartition("/c/")
    return bool(array) and place.replace("/", "").isdigit()


def _of_markers(
    store: Store, marks: Iterable[str], under: str | tuple[str, ...], looked_at: Callable[[int], object]
) -> Iterator[Damage]:
    for number, key in enumerate(marks, start=1):
        content, step = read_marker(store, key), step_of(key)
        if content is None:
            if not under or _concerns(key, under):
                problem = "is damaged" if not is_of_earlier_version(store, key) else "is of an earlier version"
                yield Damage(key, problem, step)
            continue
        for name, output in outputs_of(content).items():
            problem = damage_of(store, name, output) if name.startswith(under) else ""
            if problem:
                yield Damage(name, problem, step)
        looked_at(number)


def _concerns(mark: str, under: str | tuple[str, ...], without: str = "") -> bool:
    """Whether a marker may vouch for something under a prefix."""
    prefixes = (under,) if isinstance(under, str) else under
    homes = [home for home in _homes(mark) if not (without and home.startswith(without))]
    return any(home.startswith(prefixes) or one.startswith(home) for home in homes for one in prefixes)


def _homes(mark: str) -> tuple[str, ...]:
    """Below which the outputs of a marker may lie."""
    step, first, second, *_ = [*mark.removeprefix(f"{MARKERS}/").removesuffix(".json").split("/"), "", ""]
    kind, _, name = (second or first).partition("-")
    match step, first, kind:
        case "infer", _, _:
            return _homes_of_predictions(first, second)
        case "separate", _, _:
            return f"separation/{second}/", f"volume.zarr/{second}/labels/{OBJECTS}-"
        case "plan", _, "separation":
            return f"separation/{first}/", f"volume.zarr/{first}/labels/{OBJECTS}-"
        case "merge", "weights", _:
            return (f"models/{MERGED}/",)
        case "merge", _, _:
            return _homes_of_predictions(MERGED, first)
        case "plan", _, "predictions":
            return _homes_of_predictions(name, first)
        case "plan", _, "labels":
            return f"volume.zarr/{first}/labels/zarr.json", f"boosted.zarr/{name}/{first}/labels/zarr.json"
        case "boost", "train", _:
            return (f"models/{NETWORKS}/",)
        case ("boost", _, _) | ("plan", _, "boosted"):
            variant, capture = (first, second) if step == "boost" else (name, first)
            return (f"boosted.zarr/{variant}/{capture}/",)
        case ("train", _, _) | ("plan", _, "model"):
            return (f"models/{first if step == 'train' else name}/",)
        case "plan", _, "start":
            return (f"starts/{name}/",)
        case ("augment", _, _) | ("plan", "pool", _):
            return ("augmented.zarr/",)
        case "plan", _, _:
            return (f"volume.zarr/{first}/" if second else f"{first}.json",)
        case "finish", "boosted", _:
            return ("boosted.zarr/",)
        case "finish", _, _:
            return "predictions/", "probabilities.zarr/", "volume.zarr/"
    return ("evaluation/",)


def _homes_of_predictions(name: str, capture: str) -> tuple[str, ...]:
    """Labels of the image that was predicted; those of earlier versions, and probabilities, have their own folders."""
    target, _, variant = name.rpartition("-")
    is_boosted = variant in METHODS
    image = f"boosted.zarr/{variant}/{capture}" if is_boosted else f"volume.zarr/{capture}"
    labels = segmentation_name(target if is_boosted else name)
    certainty = (f"{DOUBT}.zarr/{capture}/",) if name == MERGED else (f"probabilities.zarr/{name}/{capture}/",)
    return f"{image}/labels/{labels}/", f"predictions/{name}/{capture}/", *certainty


def _unasked(store: Store, marks: Iterable[str], under: str) -> Iterator[Damage]:
    """Voxels that no marker vouches for: left over, put there by somebody, or of a step that did not end."""
    known = dict(_outputs(store, marks))
    for key in store.list(under):
        if _is_of_array(key) and key not in known:
            yield Damage(key, "is vouched for by no marker", "")


def _unmet(run: Run, marks: set[str], under: str) -> Iterator[Damage]:
    """Markers of a finished run that are not there, or that speak of other work than the run's plan asks for."""
    try:
        expected = list(_expected(run))
    except (InputError, FileNotFoundError) as error:
        if not any(mark.startswith(f"{MARKERS}/plan/plan") for mark in marks):
            yield Damage(f"{MARKERS}/plan/plan.json", "is missing", "plan")
        elif not isinstance(error, RunConflictError | FileNotFoundError):  # named by the plan's marker
            yield Damage("plan.json", f"cannot be used ({error})", "plan")
        return
    for mark in expected:
        if under and not _concerns(mark.key, under):
            continue
        content = read_marker(run.store, mark.key)
        if mark.key not in marks:
            yield Damage(mark.key, "is missing (removed, or not made yet)", step_of(mark.key))
        elif content and mark.digest and content["digest"] != mark.digest:
            yield Damage(mark.key, "is of something else (another run's, or made before a change)", step_of(mark.key))


def _expected(run: Run) -> Iterator[Marker]:
    """The markers of what the run holds by its plan; what waits for a result that is missing is left out.

    Where it cannot be told what a result was made from, the marker's digest is empty.
    """
    yield provenance.planned(run, run.store.read("config.yaml").decode())
    for capture in run.plan.captures:
        yield provenance.ingested(run, capture.name, capture.digest)
        if run.plan.networks:
            for name in run.instances.values():
                yield provenance.true_objects(run, capture.name, name, capture.digest)
            yield provenance.split(run, capture.name, capture.digest, dict(capture.parts), capture.grey_map)
    if run.plan.own_grid:
        yield replace(provenance.ingested(run, OWN_GRID, ""), digest="")
    yield from (replace(marker, digest="") for marker in _arrays(run))  # the layout that they were made of is plan's
    if run.plan.networks:
        if run.config.augmentation.source == "pool":
            yield from (shard.marker for shard in Pool(run).shards)
        yield from (provenance.start_model(run, *start) for start in run.plan.starts.items())
        yield from (provenance.model(run, target) for target in run.plan.targets)
    else:
        yield from (replace(provenance.given_model(run, target, ""), digest="") for target in run.plan.targets)
    groups: list[Callable[[], list[Marker]]] = [
        partial(_works, provenance.predicted, run, target) for target in run.plan.targets
    ]
    if run.instances:
        for phase in SEPARATION:
            works = provenance.joining if phase in JOINS else provenance.separation
            groups.append(partial(_works, works, run, phase))
    if run.config.inference.merged:
        groups += [lambda: [provenance.merging(run)], partial(_works, provenance.merged, run)]
    boosting = run.plan.boosting
    if boosting and boosting.downsampled:
        groups.append(partial(_works, provenance.coarse, run))
    if boosting and learning(boosting.methods):
        groups.append(partial(_works, provenance.tasks, run))
    for method in boosting.methods if boosting else ():
        groups.append(partial(_works, provenance.boosted, run, method))
        if run.plan.targets:
            groups.append(partial(_works, provenance.predicted, run, MULTILABEL, method))
    if boosting and run.plan.targets:
        groups.append(lambda: [provenance.ablation(run, (NATIVE, *boosting.methods))])
    if run.plan.networks:
        groups.append(lambda: [provenance.scores(run)])
    # What nobody has to ask for is expected where it left something.
    optional = {
        "figures/boosted_": provenance.finished_boosting,
        "shares.csv": provenance.finished_segmentation,
        "renders/": provenance.renders,
        "report.html": lambda run: Marker(run.store, f"{MARKERS}/report/page.json", ""),
    }
    evaluated = list(run.evaluation_store.list())
    for left, marker in optional.items():
        if any(key.startswith(left) for key in evaluated):
            groups.append(lambda marker=marker: [marker(run)])  # type: ignore[misc]
    for group in groups:
        try:
            yield from group()
        except InputError:  # what it waits for is damaged itself, and is named for itself
            continue


def _arrays(run: Run) -> Iterator[Marker]:
    """The markers of the empty arrays that plan makes, of whatever layout."""
    boosting = run.plan.boosting
    methods = boosting.methods if boosting else ()
    if run.plan.networks and run.config.augmentation.source == "pool":
        yield provenance.pool_arrays(run, None)
    for capture in run.plan.captures:
        predicted = [(target, NATIVE) for target in run.segmentations]
        predicted += [(MULTILABEL, variant) for variant in methods if run.plan.targets]
        if run.instances:
            yield provenance.object_arrays(run, capture.name, None)
        yield from (provenance.prediction_arrays(run, capture.name, *each, None) for each in predicted)
        yield from (provenance.boosted_arrays(run, capture.name, variant, None) for variant in methods)
        if not run.keeps_predictions_apart:
            variants = dict.fromkeys(variant for _, variant in predicted)
            yield from (provenance.label_list(run, capture.name, variant, ()) for variant in variants)


def _works(works: Callable[..., Iterable[Work]], *arguments: Any) -> list[Marker]:
    return [work.marker for work in works(*arguments)]


def step_of(key: str) -> str:
    """The step that writes a marker."""
    first, second, *_ = [*key.removeprefix(f"{MARKERS}/").split("/"), ""]
    return STEPS.get(f"{first}/{second}", STEPS.get(first, first))


def _refuse_other_versions(run: Run, marks: list[str]) -> None:
    if not marks:
        raise RunConflictError(f"{run.store.url} holds no results that could be verified: no {MARKERS}/")
    if not _is_vouched_for(run.store):
        raise RunConflictError(
            f"{run.store.url} was made by an earlier version of vemseg, whose markers do not vouch for its results: it "
            "can be read, but not verified; run the study again to make it anew"
        )


def _is_vouched_for(store: Store) -> bool:
    """Whether the run is planned by a version that wrote down outputs; a report of an older one may be newer."""
    planned = list(store.list(f"{MARKERS}/plan")) or list(store.list(MARKERS))
    return not all(is_of_earlier_version(store, key) for key in planned if key.endswith(".json"))
