"""Two captures whose labels name different classes, through a whole study: the second knows but one of three.

What is scored is compared with plain NumPy over the captures whose labels name a class.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tinystudy import NAMES, place, run_chain, tissue, whole, write_study, write_tiff

from pipeline.config.model import parse_config
from pipeline.errors import ConfigError
from pipeline.run.check import check
from pipeline.run.layout import Run
from pipeline.run.samples import read_labels, sample_labels
from pipeline.steps.plan import plan
from pipeline.steps.report import report
from pipeline.volume.omezarr import open_labels

OTHER, SAMPLE_OTHER = 4, 4
BRIGHT = 3


def study(folder: Path, changes: dict[str, Any] | None = None, *, masks: bool = False) -> Path:
    """The first capture is labelled throughout, the second only where it is bright: 0 elsewhere."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, seed in (("full", 0), ("part", 1)):
        raw, labels = tissue(seed=seed)
        write_tiff(folder / f"{name}_raw.tif", raw)
        write_tiff(folder / f"{name}_labels.tif", labels if name == "full" else labels * (labels == BRIGHT))
        for number, each in enumerate(NAMES, 1):
            write_tiff(folder / f"{name}_{each}.tif", (labels == number).astype(np.uint8))
    captures: list[dict[str, Any]] = [
        {"name": name, "raw": f"{name}_raw.tif", "labels": f"{name}_labels.tif", "voxel_size_nm": [40, 8, 8]}
        for name in ("full", "part")
    ]
    captures[1]["labelled_classes"] = ["bright"]
    if masks:
        captures[0]["labels"] = {name: f"full_{name}.tif" for name in NAMES}
        captures[1]["labels"] = {"bright": "part_bright.tif"}
    return write_study(folder, {"data": {"captures": captures}, **(changes or {})})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("partly")
    training = {"targets": "all", "steps": 60, "binary_steps": 20}
    return run_chain(
        study(folder, {"training": training, "inference": {"merged": True, "doubt": True}}), folder / "run"
    )


def scored(run: Run, capture: str) -> np.ndarray:
    return whole(open_labels(run.capture_store(capture), "split")) == 3


def test_what_is_none_of_the_labelled_classes_has_an_id_of_its_own(finished: Run) -> None:
    truth = whole(finished.truth("part"))
    _, labels = tissue(seed=1)
    assert np.array_equal(truth, np.where(labels == BRIGHT, BRIGHT, OTHER))
    assert finished.truth("part").classes[-1] == (OTHER, "dark or grey", "#808080")
    assert np.array_equal(whole(finished.truth("full")), tissue(seed=0)[1])
    assert [capture.untold for capture in finished.plan.captures] == [(), (1, 2)]


def test_masks_say_the_same_as_ids(finished: Run, tmp_path: Path) -> None:
    plan(str(study(tmp_path, masks=True)), str(tmp_path / "run"))
    by_masks = Run.open(str(tmp_path / "run"))
    for name in ("full", "part"):
        assert np.array_equal(whole(by_masks.truth(name)), whole(finished.truth(name)))


def test_a_class_is_scored_where_it_is_labelled(finished: Run) -> None:
    rows = {row["name"]: row for row in json.loads(finished.evaluation_store.read("scores.json"))["rows"]}
    for number, name in enumerate(NAMES, 1):
        where = ("full", "part") if number == BRIGHT else ("full",)
        truth = np.concatenate([whole(finished.truth(each))[scored(finished, each)] for each in where])
        assert rows[name]["support_voxels"] == np.count_nonzero(truth == number)
        assert rows[name]["share"] == pytest.approx(np.mean(truth == number))
        for side, target, value in (("multilabel",) * 2 + (number,), ("merged",) * 2 + (number,), ("binary", name, 1)):
            said = np.concatenate([whole(finished.segmentation(target, e))[scored(finished, e)] for e in where])
            both = np.count_nonzero((said == value) & (truth == number))
            f1 = 2 * both / (np.count_nonzero(said == value) + np.count_nonzero(truth == number))
            assert rows[name][side]["f1"] == pytest.approx(f1), (name, side)
    assert rows["bright"]["multilabel"]["f1"] > 0.5
    assert rows["macro"]["multilabel"]["f1"] > 0.5


def test_the_confusion_volume_has_no_error_where_nothing_is_known(finished: Run) -> None:
    """A class that labels do not name, said of what may be any of them, is right as far as anyone knows."""
    values = whole(finished.confusion("multilabel", "part"))[scored(finished, "part")]
    said = whole(finished.segmentation("multilabel", "part"))[scored(finished, "part")]
    truth = whole(finished.truth("part"))[scored(finished, "part")]
    assert set(np.unique(values % 100)) <= {BRIGHT, OTHER}
    assert np.array_equal(values == 404, (truth == OTHER) & (said != BRIGHT))


def test_calibration_and_doubt_are_of_what_is_known(finished: Run) -> None:
    told = json.loads(finished.evaluation_store.read("reliability.json"))
    voxels = {name: sum(one["voxels"]) for name, one in told["calibration"]["multilabel"]["after"].items()}
    assert voxels["bright"] > voxels["dark"] == voxels["grey"] == voxels["likeliest class"]
    truth, said = (
        np.concatenate([whole(volume(each))[scored(finished, each)] for each in ("full", "part")])
        for volume in (finished.truth, lambda name: finished.segmentation("merged", name))
    )
    judged = (truth != OTHER) | (said == BRIGHT)
    ranking = told["doubt"]["doubt"]
    assert sum(ranking["wrong"]) == np.count_nonzero((truth != said) & judged)
    assert sum(ranking["right"]) == np.count_nonzero(truth == said)


def test_samples_say_of_which_classes_a_voxel_may_be(finished: Run) -> None:
    for capture in finished.plan.captures:
        labels = read_labels(finished, capture, capture.volume)
        assert np.array_equal(labels == SAMPLE_OTHER, whole(finished.truth(capture.name)) == OTHER)
        assert np.array_equal(sample_labels(finished, capture, capture.volume), labels)


def test_the_report_and_the_check_of_such_a_study(finished: Run, tmp_path: Path) -> None:
    report(str(place(finished)))
    assert b"bright" in finished.evaluation_store.read("report.html")
    checked = check(str(study(tmp_path)))
    support = sum(sum(capture.class_voxels["test"]) for capture in finished.plan.captures)
    assert any(line.startswith(f"test: {support:,} labelled voxels") for line in checked.lines)


def test_overlapping_classes_are_known_one_by_one(tmp_path: Path) -> None:
    """Masks of overlapping classes, of which the second capture has but one."""
    members = [{"name": name} for name in NAMES]
    changes = {"classes": {"exclusive": False, "members": members}, "training": {"steps": 30}}
    run = run_chain(study(tmp_path, changes, masks=True), tmp_path / "run")
    part = run.plan.captures[1]
    labels = read_labels(run, part, part.volume)
    is_bright = tissue(seed=1)[1] == BRIGHT
    assert np.array_equal(labels, 1 | is_bright << BRIGHT | np.uint32(1 << 4))
    rows = {row["name"]: row for row in json.loads(run.evaluation_store.read("scores.json"))["rows"]}
    for bit, name in enumerate(NAMES, 1):
        where = ("full", "part") if bit == BRIGHT else ("full",)
        truth = np.concatenate([whole(run.truth(each))[scored(run, each)] for each in where]) >> bit & 1
        assert (rows[name]["support_voxels"], rows[name]["share"]) == (truth.sum(), pytest.approx(truth.mean()))


def test_objects_are_found_and_scored_where_labels_name_them(tmp_path: Path) -> None:
    classes = {
        "members": [
            {"name": "dark", "ids": [1]},
            {"name": "grey", "ids": [2], "instances": True, "rim_nm": 9},
            {"name": "bright", "ids": [3], "instances": True, "rim_nm": 12},
        ]
    }
    changes = {"classes": classes, "inference": {"region": "all", "reach_nm": 60}}
    plan(str(study(tmp_path, changes)), str(tmp_path / "run"))
    run = Run.open(str(tmp_path / "run"))
    assert run.config.untold == {(1, 2): 6}
    labels = sample_labels(run, run.plan.captures[1], run.plan.captures[1].volume)
    assert set(np.unique(labels)) == {3, 5, 6}
    assert not whole(run.true_objects("grey", "part")).any()
    assert whole(run.true_objects("bright", "part")).any()


@pytest.mark.parametrize(
    ("named", "labels", "told"),
    [
        (["bright", "pink"], "part_labels.tif", r"labelled_classes: unknown classes \['pink'\]"),
        (["bright", "bright"], "part_labels.tif", r"'bright' appears twice"),
        ([], "part_labels.tif", r"labelled_classes"),
        (["bright"], {"bright": "a.tif", "grey": "b.tif"}, r"unknown classes \['grey'\]; the labelled classes are"),
        (["bright", "grey"], {"bright": "a.tif"}, r"no mask for grey.*labelled_classes"),
    ],
)
def test_mistakes_are_told(named: list[str], labels: Any, told: str, tmp_path: Path) -> None:
    config = yaml.safe_load(study(tmp_path).read_text())
    config["data"]["captures"][1] |= {"labelled_classes": named, "labels": labels}
    with pytest.raises(ConfigError, match=told):
        parse_config(yaml.safe_dump(config), "study.yaml")


def test_a_class_that_fills_is_not_labelled_where_another_is_not(tmp_path: Path) -> None:
    """It would take the voxels of the class that nobody drew."""
    config = yaml.safe_load(study(tmp_path, masks=True).read_text())
    config["classes"]["members"] = [{"name": "dark", "fill": True}, {"name": "grey"}, {"name": "bright"}]
    config["data"]["captures"][0]["labels"].pop("dark")
    assert parse_config(yaml.safe_dump(config), "study.yaml")
    config["data"]["captures"][1]["labelled_classes"] = ["dark", "bright"]
    with pytest.raises(ConfigError, match=r"captures\.1\.labelled_classes.*'dark' has fill: true.*grey"):
        parse_config(yaml.safe_dump(config), "study.yaml")


def test_a_class_that_no_capture_names_is_refused(tmp_path: Path) -> None:
    config = yaml.safe_load(study(tmp_path).read_text())
    config["data"]["captures"][0]["labelled_classes"] = ["bright", "dark"]
    with pytest.raises(ConfigError, match=r"no capture's labelled_classes name 'grey'"):
        parse_config(yaml.safe_dump(config), "study.yaml")


def test_the_only_class_that_is_not_named_is_all_that_is_left(tmp_path: Path) -> None:
    """Of two exclusive classes, what is not the one is the other: nothing is left untold."""
    config = study(tmp_path)
    settings = yaml.safe_load(config.read_text())
    settings["data"]["captures"][1]["labelled_classes"] = ["bright", "grey"]
    config.write_text(yaml.safe_dump(settings))
    plan(str(config), str(tmp_path / "run"))
    run = Run.open(str(tmp_path / "run"))
    assert not run.config.untold
    assert np.array_equal(whole(run.truth("part")), np.where(tissue(seed=1)[1] == BRIGHT, BRIGHT, 1))
