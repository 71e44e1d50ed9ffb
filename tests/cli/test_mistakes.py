"""Mistakes of a newcomer: each is told in one sentence, with a cure, before any work is spent.

The folder is that of somebody with slices of one class: raw/, labels/, and a configuration that is right.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from tinystudy import Finished, place, tissue

from pipeline.run.layout import Run
from pipeline.steps.plan import plan

Vemseg = Callable[..., Finished]
RUN = ("run", "study", "-p", "config=study.yaml", "-p", "run=run")
CHECK = ("config", "check", "study.yaml")
INIT = ("init", "raw", "labels", "--voxel-size-nm", "40,8,8")
CONFIG = """\
data:
  captures:
    - name: mine
      raw: raw
      labels: labels
      voxel_size_nm: [40, 8, 8]
classes:
  members:
    - {name: background, ids: [0]}
    - {name: mito, ids: [255]}
split: {axis: x}
augmentation: {source: on_the_fly}
network: {features: [4, 6], z_context_slices: 0}
training:
  patch_zyx: [1, 32, 32]
  steps: 8
"""


def change(old: str, new: str) -> Callable[[], None]:
    """Another text in the configuration."""

    def changed() -> None:
        text = Path("study.yaml").read_text()
        assert old in text
        Path("study.yaml").write_text(text.replace(old, new))

    return changed


def slices(folder: str, data: np.ndarray) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    Path(folder).mkdir()
    for number, plane in enumerate(data):
        Image.fromarray(plane).save(f"{folder}/{number:03d}.png")


def masks() -> np.ndarray:
    return (tissue()[1] == 3).astype(np.uint8) * 255


def a_slice_too_few() -> None:
    slices("labels", masks()[:-1])


def other_size() -> None:
    slices("labels", masks()[:, :, :-8])


def unknown_id() -> None:
    data = masks()
    data[0, 0, 0] = 7
    slices("labels", data)


def all_one_grey() -> None:
    slices("raw", np.full_like(tissue()[0], 9))


def colour_slices() -> None:
    shutil.rmtree("raw")
    Path("raw").mkdir()
    for number, plane in enumerate(tissue()[0]):
        Image.fromarray(np.stack([plane, plane // 2, plane], axis=-1)).save(f"raw/{number:03d}.png")


def a_missing_slice() -> None:
    Path("raw/001.png").unlink()


def one_slice_labelled() -> None:
    """With 12 slices of which one is labelled, no cut along z leaves three labelled parts."""
    change("split: {axis: x}", "split: {axis: z}")()
    change("      voxel_size", "      labelled_slices: [2]\n      voxel_size")()
    raw = np.concatenate([tissue()[0]] * 3)
    slices("raw", raw)
    slices("labels", masks()[:1])


def small_slices() -> None:
    slices("raw", tissue()[0][:, :24, :24])
    slices("labels", np.eye(24, dtype=np.uint8)[None].repeat(len(tissue()[0]), 0))


def no_object() -> None:
    slices("labels", np.zeros_like(masks()))


def planned_before() -> None:
    plan("study.yaml", "run")
    change("steps: 8", "steps: 9")()


def empty_configuration() -> None:
    Path("study.yaml").write_text("")


def empty_folder() -> None:
    slices("raw", tissue()[0][:0])


def jpeg_labels() -> None:
    shutil.rmtree("labels")
    Path("labels").mkdir()
    for number, plane in enumerate(masks()):
        Image.fromarray(plane).save(f"labels/{number:03d}.jpg")


def cut_short() -> None:
    place = Path("raw/000.png")
    place.write_bytes(place.read_bytes()[:500])


def nothing() -> None:
    pass


MISTAKES: dict[str, tuple[Callable[[], None], tuple[str, ...], str]] = {
    "a configuration in place of a workflow": (
        nothing,
        ("run", "study.yaml"),
        r"is a configuration.*vemseg run study -p config=",
    ),
    "a workflow that there is not": (nothing, ("run", "stduy"), r"boost, segment, study"),
    "workflows/ of a checkout": (nothing, ("run", "workflows/study.yaml"), r"called study: vemseg run study"),
    "no configuration": (nothing, RUN[:2], r"-p config="),
    "no run": (nothing, RUN[:4], r"-p run="),
    "a parameter misspelled": (nothing, (*RUN, "-p", "confg=study.yaml"), r"confg.*config"),
    "a parameter without =": (nothing, (*RUN[:2], "-p", "study.yaml"), r"name=value"),
    "another directory": (
        nothing,
        (*RUN[:2], "-p", "config=none/study.yaml", "-p", "run=run"),
        r"vemseg init RAW LABELS",
    ),
    "an empty configuration": (empty_configuration, RUN, r"study\.yaml.*mapping.*vemseg (config example|init)"),
    "a key misspelled": (change("  steps: 8", "  step: 8"), RUN, r"study\.yaml:\d+: training\.step: .*'steps'"),
    "a section misspelled": (change("network:", "netwrok:"), RUN, r"netwrok: .*'network'"),
    "a tab for indentation": (
        change("  steps: 8", "\tsteps: 8"),
        RUN,
        r"study\.yaml:16: this is not YAML: .*spaces, not tabs",
    ),
    "words for a number": (change("steps: 8", "steps: many"), RUN, r"training\.steps: .*integer"),
    "a key twice": (change("split: {axis: x}", "split: {axis: x}\nsplit: {axis: y}"), RUN, r"'split' appears twice"),
    "wrong path of raw": (change("raw: raw", "raw: row"), RUN, r":4: data\.captures\.0\.raw: .*no such file or folder"),
    "wrong path of labels": (
        change("labels: labels", "labels: label"),
        RUN,
        r":5: data\.captures\.0\.labels: .*no such file",
    ),
    "one slice too few": (a_slice_too_few, RUN, r"labels: .*give labels of that shape"),
    "slices of another size": (other_size, RUN, r"labels: .*\(4, 64, 152\)"),
    "a slice is missing": (a_missing_slice, RUN, r"slice 1 is missing between 000\.png and 002\.png"),
    "colour images": (colour_slices, RUN, r"colour image"),
    "an unknown id": (unknown_id, CHECK, r"7 \(1 voxels\).*add them to a class"),
    "no voxel of the class": (no_object, CHECK, r"'mito' has no voxel in the training part"),
    "no voxel size": (change("      voxel_size_nm: [40, 8, 8]\n", ""), RUN, r"voxel.size.*(z, y, x)"),
    "micrometres": (change("[40, 8, 8]", "[0.04, 0.008, 0.008]"), RUN, r"micrometres.*nanometres"),
    "no validation": (
        change("split: {axis: x}", "split: {regions: [{part: train}, {part: test}]}"),
        RUN,
        r"no region for validation",
    ),
    "a region beyond the volume": (
        change(
            "{axis: x}",
            "{regions: [{part: train, x: [0, 40]}, {part: validation, x: [60, 90]}, {part: test, x: [120, 300]}]}",
        ),
        RUN,
        r"split\.regions\.2\.x: \[120, 300\].*160 voxels",
    ),
    "one labelled slice": (one_slice_labelled, CHECK, r"part has no labelled voxel; choose"),
    "too many levels": (change("[4, 6]", "[4, 6, 8, 10, 12, 14]"), RUN, r"network\.features: .*Use fewer levels"),
    "changed steps": (
        planned_before,
        RUN,
        r"(?s)another configuration.*vemseg plan --update --config study\.yaml --run run",
    ),
    "a run in place of a model": (
        nothing,
        ("run", "segment", "-p", "model=trained", "-p", "input=raw", "-p", "run=new"),
        r"-p model=trained/models/",
    ),
    "no model": (
        nothing,
        ("run", "segment", "-p", "model=nowhere", "-p", "input=raw", "-p", "run=new"),
        r"nowhere.*no trained model|nowhere",
    ),
    "inspecting what is no run": (nothing, ("inspect", "raw"), r"not a run yet"),
    "init without labels": (nothing, INIT[:2], r"raw has no labels beside it"),
    "init without a voxel size": (nothing, INIT[:3], r"--voxel-size-nm 50,8,8"),
    "init with labels first": (
        nothing,
        ("init", "labels", "raw", *INIT[3:]),
        r"wrong way round\? The images come first",
    ),
    "init with a stack twice": (nothing, (*INIT, "--test", "raw/", "labels"), r"raw is given twice.*never saw"),
    "init of the images for their labels": (nothing, ("init", "raw", "raw", *INIT[3:]), r"labels behind the images"),
    "init in micrometres": (
        nothing,
        (*INIT[:4], "0.04,0.008,0.008"),
        r"--voxel-size-nm 0\.04.*micrometres.*give nanometres",
    ),
    "init with blanks in the voxel size": (nothing, (*INIT[:4], "40", "8", "8"), r"three numbers.*no blanks between"),
    "init of an empty folder": (empty_folder, INIT, r"raw: the folder is empty; name the one that holds"),
    "init of all slices by name": (
        nothing,
        ("init", "raw/000.png", "raw/001.png", *INIT[3:]),
        r"a single slice; name the folder",
    ),
    "init of labels saved as JPEG": (jpeg_labels, INIT, r"JPEG changes the ids of labels; save them as PNG"),
    "init with a class of no id": (nothing, (*INIT, "--class", "mito"), r"--class mito: write it as name=1,2"),
    "init with a class of an id that is not there": (nothing, (*INIT, "--class", "mito=1"), r"the labels hold 0, 255"),
    "init of an image cut short": (cut_short, INIT, r"000\.png.*(truncated|cut short|damaged|cannot be read)"),
    "a workflow for a command": (nothing, RUN[1:], r"study is a workflow: vemseg run study -p config=study\.yaml"),
    "no workflow": (nothing, ("run", *RUN[2:]), r"which workflow: vemseg run study -p config="),
    "parameters without -p": (nothing, ("run", "study", "config=study.yaml"), r"as -p config=study\.yaml"),
    "a configuration without -p": (nothing, ("run", "study", "study.yaml"), r"as -p config=study\.yaml"),
    "a blank in place of =": (nothing, ("run", "study", "-p", "config", "study.yaml"), r"as -p config=study\.yaml"),
    "another ending": (nothing, (*RUN[:3], "config=study.yml", *RUN[4:]), r"did you mean study\.yaml\?"),
    "a folder for a configuration": (nothing, (*RUN[:3], "config=raw", *RUN[4:]), r"raw: is a folder; give the YAML"),
    "an image for a configuration": (nothing, ("estimate", "raw/000.png"), r"is no text; give the YAML file"),
    "a file in place of a run": (nothing, (*RUN[:5], "run=study.yaml"), r"is a file; a directory is needed here"),
    "an export of what is no run": (nothing, ("export", "raw"), r"neither a run .* nor an OME-Zarr.*check the path"),
    "a view of what is not there": (nothing, ("view", "runs/none"), r"runs/none: no such directory; check the path"),
    "a GPU that is not known": (nothing, (*INIT, "--gpu", "h1000"), r"there are t4, .*h100.*of about the same peak"),
    "GPUs of no kind": (nothing, ("estimate", "study.yaml", "--gpus", "2"), r"--gpus 2: say of which kind"),
    "a price that is no number": (nothing, ("estimate", "study.yaml", "--price", "inf"), r"--price inf: give a number"),
    "init of a class with a name that is taken": (
        nothing,
        (*INIT, "--class", "merged=255"),
        r"a class cannot be called merged.*; take another name: --class",
    ),
    "init --boost of slices too small": (
        small_slices,
        (*INIT, "--boost"),
        r"--boost: the slices are too small.*leave the option out",
    ),
    "init of one grey value": (all_one_grey, INIT, r"grey value 9; give the images"),
    "init of labels that hold one id": (no_object, INIT, r"nothing to tell apart"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Run) -> Path:
    monkeypatch.chdir(tmp_path)
    slices("raw", tissue()[0])
    slices("labels", masks())
    Path("study.yaml").write_text(CONFIG)
    shutil.copytree(place(finished) / "models", "trained/models")
    return tmp_path


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_at_once_in_one_sentence_with_its_cure(mistake: str, folder: Path, vemseg: Vemseg) -> None:
    prepare, words, told = MISTAKES[mistake]
    prepare()
    before = time.process_time()
    ended = vemseg(*words)
    spent = time.process_time() - before
    assert ended.code == 2, ended.text
    assert re.search(told, ended.text.replace("\n", " ")), ended.text
    assert "Traceback" not in ended.text
    lines = [line for line in ended.text.splitlines() if line.strip()]
    assert len(lines) <= 3
    assert spent < 2  # of computing: a busy machine is no failure
    assert not (folder / "run/volume.zarr").exists() or mistake == "changed steps"


def test_without_a_mistake_it_is_right(folder: Path, vemseg: Vemseg) -> None:
    checked = vemseg(*CHECK)
    assert checked.code == 0, checked.text
    assert yaml.safe_load(CONFIG)["data"]["captures"][0]["name"] in checked.text
    assert len(MISTAKES) >= 50
