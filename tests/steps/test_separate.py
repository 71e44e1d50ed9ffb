"""Objects of a class through the whole chain: the same ids however the work is shared, cut, killed or begun anew."""

from __future__ import annotations

import random
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import label
from tinystudy import VOXEL_SIZE_NM, Child, files, place, run_chain, tissue, whole, write_study, write_tiff

from pipeline.errors import ConfigError, DataError, RunConflictError
from pipeline.objects.growing import Reach
from pipeline.objects.partition import separate as separate_in_memory
from pipeline.objects.pieces import SPECK_SHARE
from pipeline.run.layout import SMALLEST_OBJECTS, Run
from pipeline.run.phases import JOINS, SEPARATION
from pipeline.run.provenance import samples_digest
from pipeline.run.verify import verify
from pipeline.steps.evaluate import evaluate
from pipeline.steps.finish import finish
from pipeline.steps.infer import infer
from pipeline.steps.prepare import prepare
from pipeline.steps.separate import separate

CLASSES = [
    {"name": "dark", "ids": [1]},
    {"name": "grey", "ids": [2], "instances": True, "rim_nm": 9},
    {"name": "bright", "ids": [3], "instances": True, "rim_nm": 12},
]
OBJECTS: dict[str, Any] = {
    "classes": {"members": CLASSES},
    "inference": {"region": "all", "reach_nm": 60},
    "training": {"steps": 120},
}
KILLS = 20


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("objects"), OBJECTS)


@pytest.fixture(scope="module")
def predicted(study: Path) -> Run:
    return run_chain(study, study.parent / "run", score=False)


@pytest.fixture(scope="module")
def separated(predicted: Run) -> Run:
    separate(predicted.store.url)
    return predicted


def expected(run: Run, class_id: int, capture: str = "tiny") -> NDArray[np.uint64]:
    """Of one pass over the whole volume."""
    classes, cores = whole(run.segmentation("multilabel", capture)), whole(run.cores(capture))
    reach = Reach.of(60, VOXEL_SIZE_NM)
    told = run.model_store("multilabel").read_json("model.json")[SMALLEST_OBJECTS][run.instances[class_id]]
    least = {class_id: round(told / np.prod(VOXEL_SIZE_NM))}
    return separate_in_memory(*(np.where(each == class_id, each, 0) for each in (classes, cores)), reach, least)


def ids(run: Run) -> dict[str, NDArray[Any]]:
    return {name: whole(run.objects(name, "tiny")) for name in run.instances.values()}


def test_objects_are_those_of_one_pass(separated: Run) -> None:
    assert separated.instances == {2: "grey", 3: "bright"}
    for class_id, name in separated.instances.items():
        found, wanted = whole(separated.objects(name, "tiny")), expected(separated, class_id)
        assert found.dtype == np.uint32
        assert wanted.max() > (3 if name == "bright" else 0)
        np.testing.assert_array_equal(found, wanted)
        assert set(np.unique(found)) == set(range(found.max() + 1))
        assert np.all(whole(separated.segmentation("multilabel", "tiny"))[found > 0] == class_id)


@pytest.mark.parametrize(
    ("shard_zyx", "workers"),
    [((2, 32, 32), 3), ((4, 64, 160), 1), ((1, 16, 48), 2), ((3, 40, 24), 5), ((4, 10, 160), 4)],
)
def test_no_layout_changes_an_id(
    separated: Run, study: Path, tmp_path: Path, shard_zyx: tuple[int, int, int], workers: int
) -> None:
    shutil.copytree(place(separated), tmp_path / "run")
    changed = write_study(
        study.parent,
        OBJECTS | {"inference": {**OBJECTS["inference"], "shard_zyx": list(shard_zyx)}},
        name=f"{tmp_path.name}.yaml",
    )
    run = run_chain(changed, tmp_path / "run", update=True, score=False)
    for phase in SEPARATION:
        for worker in reversed(range(1 if phase in JOINS else workers)):
            separate(run.store.url, phase=phase, worker=worker, workers=1 if phase in JOINS else workers)
    assert run.objects("bright", "tiny").shard_zyx == shard_zyx
    for name, found in ids(run).items():
        np.testing.assert_array_equal(found, ids(separated)[name])


@pytest.mark.slow
def test_killed_twenty_times_it_ends_with_the_same_bytes(separated: Run, tmp_path: Path) -> None:
    rng, kills, run = random.Random(0), 0, tmp_path / "run"
    wanted = files(place(separated))
    made = ("separation", "done/separate", "volume.zarr/tiny/labels/objects-")
    while kills < KILLS:
        shutil.copytree(place(separated), run)
        shutil.rmtree(run / "done/separate")
        code = None
        while code != 0:
            last = [f"die-after={rng.randint(1, 25)}"] if kills < KILLS else []
            ended = Child(tmp_path / "log", "separate", "--run", run, *last).end()
            code = ended.code
            assert code in (0, -signal.SIGKILL), ended.text
            kills += code != 0
        found = files(run)
        assert [name for name in wanted if name.startswith(made) and found.get(name) != wanted[name]] == []
        assert found.keys() == wanted.keys()
        shutil.rmtree(run)


def test_what_is_done_is_left_alone(separated: Run) -> None:
    before = {
        path: path.stat().st_mtime_ns for path in place(separated).rglob("*.json") if "done/separate" in str(path)
    }
    separate(separated.store.url)
    assert before
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_damaged_shard_is_made_again(separated: Run, tmp_path: Path) -> None:
    shutil.copytree(place(separated), tmp_path / "run")
    run = Run.open(tmp_path / "run")
    folders = ("volume.zarr/tiny/labels/objects-bright/0/c", "separation/tiny/parts/0/c")
    for folder in folders:
        shard = next(path for path in sorted((tmp_path / "run" / folder).rglob("*")) if path.is_file())
        shard.write_bytes(b"damaged")
    found = verify(run.store.url, under="volume.zarr") + verify(run.store.url, under="separation")
    assert {damage.step for damage in found} == {"separate"}
    assert [any(damage.key.startswith(folder) for damage in found) for folder in folders] == [True, True]
    separate(run.store.url)
    assert verify(run.store.url, under="volume.zarr") + verify(run.store.url, under="separation") == []
    assert ids(run).keys() == ids(separated).keys()
    for name, found in ids(run).items():
        np.testing.assert_array_equal(found, ids(separated)[name])


def test_a_phase_waits_for_those_before_it(predicted: Run, tmp_path: Path) -> None:
    shutil.copytree(place(predicted), tmp_path / "run")
    shutil.rmtree(tmp_path / "run/done/separate", ignore_errors=True)
    url = str(tmp_path / "run")
    for phase, before in zip(SEPARATION[1:], SEPARATION, strict=False):
        with pytest.raises(RunConflictError, match=f"--phase {before}"):
            separate(url, phase=phase)
        separate(url, phase=before)
    with pytest.raises(ConfigError, match="--workers 2 needs --phase"):
        separate(url, workers=2)
    with pytest.raises(ConfigError, match="--phase grown"):
        separate(url, phase="grown")


def test_a_run_without_objects_is_refused(tmp_path: Path) -> None:
    run = run_chain(write_study(tmp_path), tmp_path / "run", score=False)
    with pytest.raises(RunConflictError, match="instances: true"):
        separate(run.store.url)


def test_scoring_waits_for_objects_and_gives_them_coarser_levels(predicted: Run, tmp_path: Path) -> None:
    shutil.copytree(place(predicted), tmp_path / "run")
    shutil.rmtree(tmp_path / "run/done/separate", ignore_errors=True)
    run = Run.open(tmp_path / "run")
    with pytest.raises(RunConflictError, match="vemseg separate"):
        evaluate(run.store.url)
    separate(run.store.url)
    evaluate(run.store.url)
    assert len(run.objects("bright", "tiny").levels) == len(run.image("tiny").levels)


@pytest.mark.parametrize("finer", [1, 2])
def test_a_model_tells_objects_of_another_volume_apart(separated: Run, tmp_path: Path, finer: int) -> None:
    raw = tissue(seed=1)[0].repeat(finer, axis=1).repeat(finer, axis=2)
    write_tiff(tmp_path / "new.tif", raw)
    z, y, x = VOXEL_SIZE_NM
    url, model = str(tmp_path / "new"), separated.model_store("multilabel").url
    prepare(model, str(tmp_path / "new.tif"), url, voxel_size_nm=(z, y / finer, x / finer), intensity="as_trained")
    infer(url, target="multilabel")
    separate(url)
    finish(url)
    run = Run.open(url)
    found = whole(run.objects("bright", run.result))
    assert found.max() > 3
    assert found.shape == raw.shape
    np.testing.assert_array_equal(found[:, ::finer, ::finer], whole(run.objects("bright", "volume")))


def labelled(folder: Path, objects: NDArray[Any], changes: dict[str, Any] | None = None) -> Run:
    from pipeline.steps.plan import plan

    config = write_study(folder, OBJECTS | (changes or {}))
    np.save(folder / "ids.npy", objects)
    text = config.read_text().replace("labels: labels.tif", "labels: labels.tif\n    objects: {bright: ids.npy}")
    config.write_text(text)
    plan(str(config), str(folder / "run"))
    return Run.open(folder / "run")


def test_ids_of_64_bits_stay_as_they_are(tmp_path: Path) -> None:
    classes = tissue()[1]
    given = np.where(np.arange(classes.shape[2]) < 80, np.uint64(2**64 - 1), np.uint64(2**53 + 1))
    objects = np.broadcast_to(given, classes.shape).copy()
    objects[0] = 0
    run = labelled(tmp_path, objects)
    found = whole(run.true_objects("bright", "tiny"))
    np.testing.assert_array_equal(found, np.where(classes == 3, objects, np.uint64(0)))
    assert found.dtype == np.uint64
    assert set(np.unique(found)) == {0, 2**53 + 1, 2**64 - 1}
    grey = whole(run.true_objects("grey", "tiny"))
    assert grey.dtype == np.uint32
    pieces, _ = label(classes == 2)
    sizes = np.bincount(pieces.ravel())[1:]
    large = np.flatnonzero(sizes >= SPECK_SHARE * (sizes @ sizes) / sizes.sum()) + 1
    assert np.array_equal(grey > 0, np.isin(pieces, large))


def test_other_ids_of_objects_make_other_samples(tmp_path: Path) -> None:
    shape = tissue()[1].shape
    one = labelled(tmp_path, np.ones(shape, np.uint8))
    before = samples_digest(one), one.true_objects("bright", "tiny").read(one.plan.captures[0].volume)
    halves = np.where(np.arange(shape[2]) < shape[2] // 2, 1, 2).astype(np.uint8)
    two = labelled(tmp_path, np.broadcast_to(halves, shape))
    assert samples_digest(two) != before[0]
    assert set(np.unique(before[1])) == {0, 1}
    assert set(np.unique(whole(two.true_objects("bright", "tiny")))) == {0, 1, 2}


def test_ids_that_cannot_be_are_named(tmp_path: Path) -> None:
    shape = tissue()[1].shape
    with pytest.raises(DataError, match=r"ids\.npy.*-1 is negative"):
        labelled(tmp_path / "negative", np.full(shape, -1))
    with pytest.raises(DataError, match=r"ids\.npy have shape"):
        labelled(tmp_path / "small", np.ones((1, 2, 3), np.uint8))
