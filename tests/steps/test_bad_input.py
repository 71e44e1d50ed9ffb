"""Input that cannot be used is refused with exit code 2 and a message that names the file and the cure.

A full disk and a damaged checkpoint belong here too: nothing half-written stays, and trying again with room succeeds.
Each reader's own checks are tested with the volumes; here they arrive through the steps.
"""

from __future__ import annotations

import re
import resource
import shutil
import signal
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tinystudy import Child, Finished, files, place, run_chain, tissue, write_study, write_tiff

from pipeline.config.examples import example_text
from pipeline.errors import CheckpointError, ConfigError, DataError, InputError, RunConflictError, StorageError
from pipeline.run.layout import Run
from pipeline.steps.augment import augment
from pipeline.steps.evaluate import evaluate
from pipeline.steps.infer import infer
from pipeline.steps.plan import plan
from pipeline.steps.prepare import prepare
from pipeline.steps.train import train

Breaker = Callable[[Path], dict[str, Any]]


def raw_is(name: str) -> dict[str, Any]:
    labels_and_size = {"labels": "labels.tif", "voxel_size_nm": [40, 8, 8]}
    return {"data": {"captures": [{"name": "tiny", "raw": name, **labels_and_size}]}}


def labels_of_another_shape(folder: Path) -> dict[str, Any]:
    write_tiff(folder / "labels.tif", tissue()[1][:, :, :-1])
    return {}


def unknown_label_ids(folder: Path) -> dict[str, Any]:
    labels = tissue()[1]
    labels[2, :2, :5] = 77
    write_tiff(folder / "labels.tif", labels)
    return {}


def a_missing_slice(folder: Path) -> dict[str, Any]:
    (folder / "slices").mkdir()
    for number, plane in zip((8, 9, 11, 12), tissue()[0], strict=True):
        write_tiff(folder / f"slices/s{number}.tif", plane)
    return raw_is("slices")


def a_truncated_tiff(folder: Path) -> dict[str, Any]:
    data = (folder / "raw.tif").read_bytes()
    (folder / "raw.tif").write_bytes(data[: len(data) // 2])
    return {}


def nan_in_float_data(folder: Path) -> dict[str, Any]:
    raw = tissue()[0].astype(np.float32)
    raw[3, 10, 20] = np.nan
    write_tiff(folder / "raw.tif", raw)
    return {}


def a_class_without_training_voxels(folder: Path) -> dict[str, Any]:
    labels = tissue()[1]
    labels[:, :, :90][labels[:, :, :90] == 3] = 2
    write_tiff(folder / "labels.tif", labels)
    return {}


def no_file(folder: Path) -> dict[str, Any]:
    (folder / "labels.tif").unlink()
    return {}


def a_zip_that_leaves_its_folder(folder: Path) -> dict[str, Any]:
    with zipfile.ZipFile(folder / "raw.zip", "w") as archive:
        archive.write(folder / "raw.tif", "../../raw.tif")
    return raw_is("raw.zip")


def a_zip_bomb(folder: Path) -> dict[str, Any]:
    with zipfile.ZipFile(folder / "raw.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("raw.npy", bytes(40_000_000))
    return raw_is("raw.zip")


BROKEN: dict[Breaker, str] = {
    labels_of_another_shape: r"labels\.tif.*\(4, 64, 159\).*give labels of that shape",
    unknown_label_ids: r"labels\.tif, slice 2.*77 \(10 voxels\).*add them to a class",
    a_missing_slice: r"slices.*slice 10 is missing.*restore it",
    a_truncated_tiff: r"raw\.tif.*truncated.*copy or export it again",
    nan_in_float_data: r"(?i)raw\.tif.*nan",
    a_class_without_training_voxels: r"'bright' has no voxel in the training part.*split\.axis",
    no_file: r"labels\.tif.*check the location",
    a_zip_that_leaves_its_folder: r"raw\.zip.*\.\./\.\./raw\.tif.*pack it",
    a_zip_bomb: r"raw\.zip.*times its size.*give the folder",
}


@pytest.mark.parametrize("spoil", BROKEN, ids=lambda spoil: spoil.__name__)
def test_input_that_cannot_be_used(spoil: Breaker, tmp_path: Path) -> None:
    write_study(tmp_path)
    config = write_study(tmp_path, spoil(tmp_path))
    with pytest.raises(InputError, match=BROKEN[spoil]) as caught:
        plan(str(config), str(tmp_path / "run"))
    assert caught.value.exit_code == 2
    assert not (tmp_path / "run/plan.json").exists()
    assert not (tmp_path / "raw.tif.npy").exists()


@pytest.mark.parametrize("spoil", [unknown_label_ids, a_zip_bomb], ids=lambda spoil: spoil.__name__)
def test_the_command_prints_the_message_alone(spoil: Breaker, tmp_path: Path, vemseg: Callable[..., Finished]) -> None:
    write_study(tmp_path)
    ended = vemseg("plan", "--config", write_study(tmp_path, spoil(tmp_path)), "--run", tmp_path / "run")
    assert ended.code == 2
    assert ended.text.splitlines()[-1].startswith("vemseg: ")
    assert "Traceback" not in ended.text


def test_a_mended_input_is_taken_in_by_the_same_command(tmp_path: Path) -> None:
    write_study(tmp_path)
    config = write_study(tmp_path, unknown_label_ids(tmp_path))
    with pytest.raises(DataError):
        plan(str(config), str(tmp_path / "run"))
    write_tiff(tmp_path / "labels.tif", tissue()[1])
    assert plan(str(config), str(tmp_path / "run")).class_voxels("train")


COMMANDS: dict[str, tuple[list[str], str]] = {
    "unknown target": (["train", "--target", "gray"], r"no target 'gray'.*dark, grey"),
    "worker beyond the last": (["infer", "--target", "dark", "--worker", "2", "--workers", "2"], "number 1"),
    "unknown option": (["infer", "--workres", "2"], "workres"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_a_command_that_makes_no_sense(case: str, finished: Run, vemseg: Callable[..., Finished]) -> None:
    words, message = COMMANDS[case]
    ended = vemseg(*words, "--run", place(finished))
    assert ended.code == 2
    assert re.search(message, ended.text)


def test_steps_in_the_wrong_order_name_the_one_that_is_missing(study: Path, copied: Run, tmp_path: Path) -> None:
    url = str(tmp_path / "empty")
    plan(str(study), url)
    with pytest.raises(RunConflictError, match="vemseg augment"):
        train(url, target="multilabel")
    with pytest.raises(RunConflictError, match="vemseg train"):
        infer(url, target="multilabel")
    with pytest.raises(RunConflictError, match="vemseg train"):
        evaluate(url)
    next((place(copied) / "done/infer/dark").rglob("*.json")).unlink()
    with pytest.raises(RunConflictError, match=r"1 of 16 shards.*infer/dark.*run the infer step"):
        evaluate(str(place(copied)))


def test_a_place_that_is_no_run(study: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file: is a file; a directory"):
        plan(str(study), str(tmp_path / "file"))
    with pytest.raises(InputError, match="no such directory"):
        augment(str(tmp_path / "nowhere"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunConflictError, match=r"config\.yaml|plan\.json.*vemseg plan"):
        augment(str(tmp_path / "folder"))
    with pytest.raises(ConfigError, match="vemseg init RAW LABELS"):
        plan(str(tmp_path / "no.yaml"), str(tmp_path / "run"))
    with pytest.raises(RunConflictError, match=r"no model\.json"):
        prepare(str(tmp_path / "folder"), str(study.parent / "raw.tif"), str(tmp_path / "new"))


@pytest.mark.parametrize("edge_nm", [0.0, -8.0, float("nan"), 80.0])
def test_a_volume_of_impossible_or_other_voxels(edge_nm: float, study: Path, finished: Run, tmp_path: Path) -> None:
    model, volume = place(finished) / "models/multilabel", study.parent / "raw.tif"
    with pytest.raises(InputError, match="nm"):
        prepare(str(model), str(volume), str(tmp_path / "new"), voxel_size_nm=(40.0, edge_nm, 8.0))
    assert not (tmp_path / "new").exists()


def test_a_run_without_labels_is_neither_trained_nor_scored(study: Path, finished: Run, tmp_path: Path) -> None:
    url = str(tmp_path / "new")
    model, volume = place(finished) / "models/multilabel", study.parent / "raw.tif"
    prepare(str(model), str(volume), url, voxel_size_nm=(40.0, 8.0, 8.0))
    for step in (augment, partial(train, target="multilabel"), evaluate):
        with pytest.raises(RunConflictError, match="without labels"):
            step(url)


def test_an_unknown_example_names_those_there_are() -> None:
    with pytest.raises(InputError, match=r"demo.*phantom.*sections"):
        example_text("nonsense")


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


@pytest.mark.parametrize("damage", [flip_a_bit, cut], ids=lambda damage: damage.__name__)
def test_a_damaged_model_predicts_nothing(damage: Callable[[Path], None], copied: Run) -> None:
    run = place(copied)
    shutil.rmtree(run / "done/infer/dark")
    damage(run / "models/dark/model.safetensors")
    with pytest.raises(CheckpointError, match=r"models/dark/model\.safetensors.*train again"):
        infer(str(run), target="dark")
    assert not (run / "done/infer/dark").exists()


@pytest.mark.parametrize("damage", [flip_a_bit, cut], ids=lambda damage: damage.__name__)
def test_a_damaged_state_is_not_trained_on(damage: Callable[[Path], None], tmp_path: Path) -> None:
    """It is refused by name; without it, the training gives what it would have given."""
    often = {"training": {"checkpoint_minutes": 1e-6}}
    run, config = tmp_path / "run", write_study(tmp_path, often)
    plan(str(config), str(run))
    augment(str(run))
    stopped = Child(tmp_path / "log", "train", "--run", run, "--target", "multilabel", "die-after=4").end()
    assert stopped.code == -signal.SIGKILL
    state = run / "models/multilabel/last/state.safetensors"
    damage(state)
    with pytest.raises(CheckpointError, match=r"last/state\.safetensors.*delete the file"):
        train(str(run), target="multilabel")
    state.unlink()
    train(str(run), target="multilabel")
    expected = run_chain(config, tmp_path / "expected", score=False)
    assert files(run / "models") == files(place(expected) / "models")


@pytest.fixture
def little_room() -> Iterator[Callable[[int], None]]:
    """Sets how large a file may grow, as if the disk were full beyond."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda largest: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, former[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, former)
    signal.signal(signal.SIGXFSZ, handler)


def staged(run: Path) -> list[Path]:
    return [path for path in run.rglob("*") if "#" in path.name]


def test_a_full_disk_in_the_middle_of_a_shard(little_room: Callable[[int], None], copied: Run) -> None:
    """Exit code 74, which is worth a retry; the shard is absent, and there once there is room."""
    run = place(copied)
    expected = files(run / "volume.zarr/tiny/labels/segmentation-dark")
    for shard in (run / "volume.zarr/tiny/labels/segmentation-dark/0/c").rglob("*"):
        if shard.is_file():
            shard.unlink()
    shutil.rmtree(run / "done/infer/dark")
    little_room(min(len(data) for name, data in expected.items() if name.startswith("0/c/")) // 2)
    with pytest.raises(StorageError, match=r"segmentation.*check free space") as caught:
        infer(str(run), target="dark")
    assert caught.value.exit_code == 74
    little_room(resource.RLIM_INFINITY)
    assert not (run / "done/infer/dark").exists()
    assert not staged(run)
    assert infer(str(run), target="dark") == 4
    evaluate(str(run))
    assert files(run / "volume.zarr/tiny/labels/segmentation-dark") == expected


def test_a_full_disk_while_a_capture_is_taken_in(
    little_room: Callable[[int], None], finished: Run, study: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    little_room(5_000)
    with pytest.raises(StorageError, match=r"free (some )?space"):
        plan(str(study), str(run))
    little_room(resource.RLIM_INFINITY)
    assert not staged(run)
    plan(str(study), str(run))
    taken_in, all_of_it = files(run / "volume.zarr"), files(place(finished) / "volume.zarr")
    assert taken_in == {name: data for name, data in all_of_it.items() if name in taken_in}
    assert {name for name in all_of_it.keys() - taken_in.keys() if "/labels/segmentation" not in name} == set()


def test_the_exit_code_of_a_full_disk(
    little_room: Callable[[int], None], study: Path, tmp_path: Path, vemseg: Callable[..., Finished]
) -> None:
    little_room(5_000)
    ended = vemseg("plan", "--config", study, "--run", tmp_path / "run")
    little_room(resource.RLIM_INFINITY)
    assert (ended.code, "Traceback" in ended.text) == (74, False)
