"""A change of code that changes a result must raise the number of its kind in `provenance.SCHEMA`.

`golden.json` holds, for each kind of result, its number and what the tiny study gave under that number: values that
hold on any CPU to the tolerance below. A test that fails here means one of two things:

- the result was not meant to change: mend the code;
- it was: raise the number of its kind, then write the values anew with
  ``VEMSEG_UPDATE_GOLDEN=1 pytest tests/run/test_golden.py``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from numpy.typing import NDArray
from tinystudy import BOOSTING, VOXEL_SIZE_NM, place, run_chain, tissue, whole, write_study, write_tiff

from pipeline.nn.calibration import Confidence, JudgedVoxels
from pipeline.nn.checkpoint import unpack
from pipeline.nn.merging import Merging, Opinion, as_bytes, merging
from pipeline.nn.targets import Target, prior_logits
from pipeline.objects.cores import find_cores
from pipeline.objects.growing import Reach
from pipeline.objects.measure import Measuring
from pipeline.objects.partition import separate
from pipeline.objects.pieces import pieces_as_objects
from pipeline.objects.table import object_table
from pipeline.run.layout import Run
from pipeline.run.provenance import SCHEMA
from pipeline.steps.boosting.finish import finish as finish_boosting
from pipeline.steps.finish import finish
from pipeline.steps.report import report
from pipeline.steps.resample import resample
from pipeline.volume.geometry import Geometry
from pipeline.volume.omezarr import open_image
from pipeline.volume.stores import Store

GOLDEN = Path(__file__).with_name("golden.json")
TOLERANCE = 0.05
"""Of a value, or of 1 where that is less: rounding differs from one CPU to another, and a training amplifies it."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A study that has made everything."""
    folder = tmp_path_factory.mktemp("golden")
    made = run_chain(write_study(folder, {"training": {"precision": "float32"}, **BOOSTING}), folder / "run")
    url = str(place(made))
    finish(url)
    finish_boosting(url)
    report(url)
    return made


def statistics(values: NDArray[Any]) -> list[float]:
    """Mean and standard deviation, and the mean of the first half: a volume turned round has another."""
    flat = values.astype(np.float64).ravel()
    return [flat.mean(), flat.std(), flat[: flat.size // 2].mean()]


def weights(store: Store) -> list[float]:
    tensors, _ = unpack(store.read("model.safetensors"), "weights")
    return [float(len(tensors)), *(float(tensor.float().abs().sum()) for _, tensor in sorted(tensors.items()))]


def headings(page: str) -> list[str]:
    return [re.sub(r"<[^>]*>", "", heading) for heading in re.findall(r"<h[12][^>]*>(.*?)</h[12]>", page, re.DOTALL)]


def resampled(run: Run, folder: Path) -> list[float]:
    write_tiff(folder / "volume.tif", tissue()[0])
    z, y, x = VOXEL_SIZE_NM
    store = resample(str(folder / "volume.tif"), str(folder / "to"), to_nm=(z, 2 * y, 2 * x), voxel_size_nm=(z, y, x))
    return statistics(whole(open_image(store)))


def pool(run: Run, _: Path) -> Any:
    group = zarr.open_group(run.pool_store.zarr(), mode="r")
    return {name: statistics(np.asarray(group[name][:])) for name in ("image", "labels", "class_voxels")}


def arrays(run: Run, _: Path) -> Any:
    stored = json.loads((place(run) / "volume.zarr/tiny/labels/segmentation/0/zarr.json").read_text())
    return {key: stored[key] for key in ("shape", "data_type", "chunk_grid", "codecs", "dimension_names")}


def scores(run: Run, _: Path) -> Any:
    rows = json.loads(run.evaluation_store.read("scores.json"))["rows"]
    return [[row.get(key) for key in ("name", "share", "support_voxels", "multilabel")] for row in rows]


def ablation(run: Run, _: Path) -> Any:
    told = json.loads(run.evaluation_store.read("ablation.json"))
    return [[one["name"], one["quality"], {row["name"]: row["f1"] for row in one["scores"]}] for one in told["inputs"]]


def objects(_: Run, __: Path) -> Any:
    """Of labelled cores, so that no training has a say in them."""
    voxel_nm = (40.0, 8.0, 8.0)
    bright = tissue()[1] == 3
    pieces = np.concatenate([numbers for _, numbers in pieces_as_objects(lambda _: bright, bright.shape, bright.shape)])
    cores = find_cores(pieces, np.ones(bright.shape, bool), 12.0, voxel_nm).astype(np.uint8)
    ids = separate(bright.astype(np.uint8), cores, Reach.of(24.0, voxel_nm), {1: 9})
    return [int(pieces.max()), int(cores.sum()), np.bincount(ids.ravel().astype(int)).tolist()]


def measured(_: Run, __: Path) -> Any:
    """Of labelled pieces, and the distances to a class of the labels."""
    labels = tissue()[1]
    bright = labels == 3
    pieces = np.concatenate([numbers for _, numbers in pieces_as_objects(lambda _: bright, bright.shape, bright.shape)])
    geometry = Geometry(bright.shape, (40.0, 8.0, 8.0))
    measuring = Measuring(
        geometry,
        {"bright": lambda block: pieces[block.slices].astype(np.uint32)},
        lambda block: (labels[block.slices] == 1).astype(np.uint8),
    )
    table = object_table(measuring.measure(geometry.block), geometry)
    return [[row[name] for name in table.schema.names if name != "id"] for row in table.slice(0, 5).to_pylist()]


def opinions() -> tuple[Opinion, torch.Tensor, Target]:
    """What two networks say of labels, each with a noise of its own: no training has a say in it."""
    target, truth = Target("multilabel", (1, 2, 3), True), torch.from_numpy(tissue()[1].ravel().astype(np.int64)) - 1
    rng, is_class = np.random.default_rng(0), torch.nn.functional.one_hot(truth, 3).T
    joint, alone = (2 * is_class + torch.from_numpy(rng.normal(size=is_class.shape)).float() for _ in range(2))
    region = torch.arange(len(truth)) * 10 // len(truth)
    prior = prior_logits([0.5, 0.35, 0.15], target)
    judged = JudgedVoxels(joint, is_class.bool(), region)
    return Opinion.of(judged, Confidence.as_it_is(3), prior, target), as_bytes((alone - 1).sigmoid()), target


def merging_weights(_: Run, __: Path) -> Any:
    return asdict(merging(*opinions()))


def merged(_: Run, __: Path) -> Any:
    joint, alone, target = opinions()
    weights = Merging((0.8,) * 3, (0.6,) * 3, (0.7, 1.0, 1.9), (0.1, 0.1, 0.2))
    ids, doubt = weights.decide(weights.logits(joint.said, alone, target)[:, None, None], target)
    return [statistics(ids.numpy()), statistics(as_bytes(doubt).numpy())]


RESULTS: dict[str, Callable[[Run, Path], Any]] = {
    "capture": lambda run, _: [statistics(whole(run.image("tiny"))), statistics(whole(run.truth("tiny")))],
    "plan": lambda run, _: run.plan.model_dump(mode="json", exclude={"captures"}),
    "split": lambda run, _: run.plan.captures[0].model_dump(mode="json", include={"parts", "class_voxels"}),
    "arrays": arrays,
    "pool": pool,
    "model": lambda run, _: weights(run.model_store("multilabel")),
    "predictions": lambda run, _: statistics(whole(run.segmentation("multilabel", "tiny"))),
    "objects": objects,
    "measured": measured,
    "merging": merging_weights,
    "merged": merged,
    "coarse": lambda run, _: statistics(whole(run.variant("downsampled", "tiny"))),
    "network": lambda run, _: weights(run.model_store("super-resolution").child("tiny")),
    "boosted": lambda run, _: {
        method: statistics(whole(run.variant(method, "tiny"))) for method in run.plan.boosting.methods
    },
    "scores": scores,
    "ablation": ablation,
    "segmentation": lambda run, _: run.evaluation_store.read("shares.csv").decode().splitlines()[0],
    "boosting": lambda run, _: sorted(key for key in run.evaluation_store.list("figures") if "boosted_" in key),
    "report": lambda run, _: headings(run.evaluation_store.read("report.html").decode()),
    "resampled": resampled,
}


@pytest.mark.parametrize("kind", RESULTS)
def test_a_changed_result_has_a_new_number(kind: str, run: Run, tmp_path: Path) -> None:
    found = {"schema": SCHEMA[kind], "result": json.loads(json.dumps(RESULTS[kind](run, tmp_path)))}
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("VEMSEG_UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps({**golden, kind: found}, indent=1, sort_keys=True) + "\n")
        return
    assert golden[kind]["schema"] == SCHEMA[kind], f"{kind} has a new number: write golden.json anew (see above)"
    assert differences(golden[kind]["result"], found["result"]) == [], (
        f"results of the kind {kind!r} have changed, but not its number in provenance.SCHEMA (see above)"
    )


def test_every_kind_is_watched() -> None:
    """Renders need OpenGL; what they show is tested with the figures."""
    assert set(SCHEMA) == {*RESULTS, "renders"}


def test_a_difference_is_seen() -> None:
    golden = {"a": [1.0, 2.0], "b": {"c": "text"}, "d": None}
    assert differences(golden, {**golden, "a": [1.0, 2.0 + TOLERANCE]}) == []
    assert differences(golden, {**golden, "a": [1.0, 2.2]}) == ["a.1: 2.0, now 2.2"]
    assert differences(golden, {**golden, "b": {"c": "other"}}) == ["b.c: text, now other"]
    assert differences(golden, {**golden, "a": [1.0]}) != []
    assert differences(golden, {"a": [1.0, 2.0], "b": {"c": "text"}}) != []


def differences(golden: Any, found: Any, where: str = "") -> list[str]:
    """Where two pieces of JSON differ by more than rounding."""
    if isinstance(golden, dict) and isinstance(found, dict) and golden.keys() == found.keys():
        return [line for key in golden for line in differences(golden[key], found[key], f"{where}.{key}")]
    if isinstance(golden, list) and isinstance(found, list) and len(golden) == len(found):
        pairs = enumerate(zip(golden, found, strict=True))
        return [line for index, (a, b) in pairs for line in differences(a, b, f"{where}.{index}")]
    numbers = isinstance(golden, int | float) and isinstance(found, int | float)
    if numbers and abs(golden - found) <= TOLERANCE * max(1.0, abs(golden)):
        return []
    return [] if golden == found else [f"{where.lstrip('.')}: {golden}, now {found}"]
