"""Objects against plain pieces of the same network's mask, and what telling them apart does to F1.

A study is trained twice with the same seed, with and without `instances` of the classes that it tells apart. Printed
are AP at an IoU of .5 and panoptic quality of the objects, and of the pieces of the class in the same segmentation (all
of them, and those that are as large as an object must be), over the test part, and F1 of each class of both networks.

    python -m tests.bench.bench_instances study.yaml --work runs/instances --steps 600
    python -m tests.bench.bench_instances study.yaml --work runs/instances --instances mitochondria=20

The first is for a study whose configuration has `instances` already; the second adds them, with the rim in nm. With
`--alone` the second network, and with it F1 of both, is left out.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from scipy import ndimage

from pipeline.config.model import MULTILABEL
from pipeline.run.layout import SMALLEST_OBJECTS, Run
from pipeline.run.objects import object_overlaps
from pipeline.scoring.object_scores import ObjectScores, object_counts
from pipeline.scoring.overlaps import Overlaps, disjoint, overlaps
from pipeline.steps.evaluate import evaluate
from pipeline.steps.infer import infer
from pipeline.steps.plan import plan
from pipeline.steps.separate import separate
from pipeline.steps.train import train

SHOWN = ("ap_50", "pq", "precision", "recall", "count_ratio")


@dataclass(frozen=True)
class Compared:
    """Scores of the objects of a class, and of the pieces of its mask."""

    objects: ObjectScores
    pieces: ObjectScores
    large: ObjectScores
    """Of pieces without specks."""


def compare(run: Run, class_name: str) -> Compared:
    """Score the objects of a class in the test part, and the pieces of the same segmentation."""
    found = disjoint(object_overlaps(run, class_name, capture) for capture in run.plan.captures)
    told = run.model_store(MULTILABEL).read_json("model.json")[SMALLEST_OBJECTS][class_name]
    pieces = (object_counts(disjoint(_pieces(run, class_name, least_nm3))).scores() for least_nm3 in (0.0, told))
    return Compared(object_counts(found).scores(), *pieces)


def _pieces(run: Run, class_name: str, least_nm3: float) -> Iterator[Overlaps]:
    class_id = run.config.classes.names.index(class_name) + 1
    for capture in run.plan.captures:
        for region in capture.split().test:
            mask = run.segmentation(MULTILABEL, capture.name).read(region) == class_id
            numbers = ndimage.label(mask)[0].astype(np.uint64)
            small = np.bincount(numbers.ravel()) * np.prod(capture.voxel_size_nm) < least_nm3
            numbers[small[numbers]] = 0
            scored = np.pad(run.truth(capture.name).read(region) > 0, 1)
            yield overlaps(run.true_objects(class_name, capture.name).read(region), numbers, scored)


def made(config: Path, folder: Path) -> Run:
    """Plan, train, predict, tell apart and score, as far as it is not done."""
    url = str(folder)
    plan(str(config), url, update=True)
    train(url, target=MULTILABEL)
    infer(url, target=MULTILABEL)
    run = Run.open(url)
    if run.instances:
        separate(url)
    evaluate(url)
    return run


def written(study: Path, place: Path, changes: Mapping[str, Any], rims_nm: Mapping[str, float] | None) -> Path:
    """The configuration, with the objects of these classes told apart; None: of none."""
    told = yaml.safe_load(study.read_text(encoding="utf-8"))
    for capture in told["data"]["captures"]:
        for key in ("raw", "labels"):
            capture[key] = str((study.parent / capture[key]).resolve())
        objects = {name: str((study.parent / where).resolve()) for name, where in capture.pop("objects", {}).items()}
        if rims_nm is not None and objects:
            capture["objects"] = objects
    for member in told["classes"]["members"]:
        own = {key: member.pop(key) for key in ("instances", "rim_nm") if key in member}
        if rims_nm is not None:
            rim_nm = rims_nm.get(member["name"])
            member |= own if rim_nm is None else {"instances": True, "rim_nm": rim_nm}
    told["training"] |= {"targets": MULTILABEL, **changes}
    told["augmentation"] = {**told.get("augmentation", {}), "source": "on_the_fly"}
    told |= {"boosting": {"methods": []}, "evaluation": {"renders": False, "figure_slices": []}}
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(yaml.safe_dump(told, sort_keys=False), encoding="utf-8")
    return place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, help="configuration whose captures are labelled as ids")
    parser.add_argument("--work", type=Path, required=True, help="folder for both runs")
    parser.add_argument("--steps", type=int, help="of the trainings; left out: as the study says")
    parser.add_argument("--alone", action="store_true", help="no second network")
    parser.add_argument("--instances", nargs="*", default=[], metavar="CLASS=RIM_NM")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rims = {name: float(rim) for name, rim in (item.split("=") for item in arguments.instances)}
    changes = {"steps": arguments.steps} if arguments.steps else {}
    runs = {}
    for name, rims_nm in [("with", rims), ("without", None)][: 1 if arguments.alone else 2]:
        started = time.process_time()
        config = written(arguments.study, arguments.work / f"{name}.yaml", changes, rims_nm)
        runs[name] = made(config, arguments.work / name)
        print(f"{name} objects: {time.process_time() - started:.0f} s of the processor", file=sys.stderr)
    for name in runs["with"].instances.values():
        found = compare(runs["with"], name)
        for what, scores in (
            ("objects", found.objects),
            ("pieces of the mask", found.pieces),
            ("those as large as an object", found.large),
        ):
            told = ", ".join(f"{key} {scores.values[key] or 0:.3f}" for key in SHOWN)
            print(f"{name}, {what}: {told} ({scores.counts.true} true)")
    if arguments.alone:
        return
    sides = {name: run.scores for name, run in runs.items()}
    for name in runs["with"].config.classes.names:
        f1 = {
            side: next(row for row in table.rows if row.name == name).value("f1", MULTILABEL) or 0.0
            for side, table in sides.items()
            if table
        }
        gain = f1["with"] - f1["without"]
        print(f"{name}: F1 {f1['with']:.3f} with objects, {f1['without']:.3f} without ({gain:+.3f})")


if __name__ == "__main__":
    main()
