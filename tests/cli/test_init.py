"""vemseg init on files: what it prints is a configuration for them, and what it cannot know it asks for or says."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image
from tinystudy import Finished, tissue

from pipeline.config.model import parse_config
from pipeline.proposal import speed
from pipeline.volume.sources import TRUSTED, open_source

Vemseg = Callable[..., Finished]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    """A short measurement, kept for all tests of this file."""
    monkeypatch.setattr(speed, "LEAST_S", 0.1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "speed"))
    monkeypatch.chdir(tmp_path)


def write_slices(folder: Path, data: NDArray[np.uint8], first: int = 0) -> str:
    folder.mkdir(parents=True)
    for number, plane in enumerate(data, first):
        Image.fromarray(plane).save(folder / f"slice_{number:03d}.png")
    return str(folder)


@pytest.fixture
def pair() -> tuple[str, str]:
    """A folder of slices, and one of masks: 255 where the brightest class is."""
    raw, labels = tissue((5, 64, 120))
    write_slices(Path("cell/images"), raw)
    write_slices(Path("cell/mito_labels"), (labels == 3).astype(np.uint8) * 255)
    return "cell/images", "cell/mito_labels"


def printed(made: Finished) -> str:
    """The configuration, without what was said beside it."""
    return "\n".join(line for line in made.text.splitlines() if not line.startswith("vemseg: "))


SIZE = ("--voxel-size-nm", "40,8,8")


def test_slices_become_a_configuration_that_can_be_planned(pair: tuple[str, str], vemseg: Vemseg) -> None:
    raw, labels = tissue((3, 48, 64), seed=1)
    test = (
        write_slices(Path("other/images"), raw),
        write_slices(Path("other/mito_labels"), (labels == 3).astype(np.uint8) * 255),
    )
    made = vemseg("init", *pair, "--test", *test, *SIZE, "--minutes", "2")
    assert made.code == 0, made.text
    text = printed(made)
    config = parse_config(text, "study.yaml")
    assert [capture.name for capture in config.data.captures] == ["cell", "other"]
    assert config.classes.names == ("background", "mito")
    assert config.targets == ("multilabel",)
    Path("study.yaml").write_text(text)
    assert vemseg("config", "check", "study.yaml").code == 0
    planned = vemseg("plan", "--config", "study.yaml", "--run", "run")
    assert planned.code == 0, planned.text
    again = vemseg("init", *pair, "--test", *test, *SIZE, "--minutes", "2")
    assert "measuring" not in again.text or "other programs" in again.text


def test_slices_with_labels_are_found_by_their_numbers(pair: tuple[str, str], vemseg: Vemseg) -> None:
    for number in (0, 4):
        Path(f"{pair[1]}/slice_{number:03d}.png").unlink()
    made = vemseg("init", *pair, *SIZE, "--minutes", "2")
    assert made.code == 0, made.text
    assert "[1-3]" in made.text
    Path(f"{pair[1]}/slice_003.png").rename(f"{pair[1]}/slice_040.png")
    asked = vemseg("init", *pair, *SIZE, "--minutes", "2")
    assert (asked.code, "--labelled-slices" in asked.text) == (2, True)
    told = vemseg("init", *pair, *SIZE, "--minutes", "2", "--labelled-slices", "0-1,4")
    assert "[0-1, 4]" in told.text


def test_a_folder_of_masks_and_masks_by_name(vemseg: Vemseg) -> None:
    raw, labels = tissue((3, 64, 100))
    write_slices(Path("raw"), raw)
    for number, name in ((2, "Grey matter"), (3, "bright")):
        write_slices(Path("masks") / name, (labels == number).astype(np.uint8))
    made = vemseg("init", "raw", "masks", *SIZE, "--minutes", "2")
    assert made.code == 0, made.text
    settings = yaml.safe_load(printed(made))
    assert settings["data"]["captures"][0]["labels"] == {"grey_matter": "masks/Grey matter", "bright": "masks/bright"}
    assert settings["classes"]["members"][0] == {"name": "background", "color": "#555555", "fill": True}
    named = vemseg("init", "raw", "a=masks/Grey matter,b=masks/bright", *SIZE, "--minutes", "2")
    assert "a: masks/Grey matter" in named.text


def test_stacks_of_other_greys_are_matched(pair: tuple[str, str], vemseg: Vemseg) -> None:
    raw, labels = tissue((3, 64, 64), seed=1)
    truth = (labels == 3).astype(np.uint8) * 255
    dark = (write_slices(Path("dark/images"), raw // 6), write_slices(Path("dark/mito_labels"), truth))
    made = vemseg("init", *pair, "--test", *dark, *SIZE, "--minutes", "2")
    assert made.code == 0, made.text
    assert "intensity: match" in made.text
    text = printed(made)
    Path("study.yaml").write_text(text)
    assert vemseg("config", "check", "study.yaml").code == 0
    Path("study.yaml").write_text(text.replace("intensity: match", "intensity: null"))
    refused = vemseg("config", "check", "study.yaml")
    assert (refused.code, "data.intensity" in refused.text) == (2, True)


def test_the_rest_of_dense_labels_is_background_and_it_is_said(vemseg: Vemseg) -> None:
    raw, labels = tissue((5, 64, 120))
    write_slices(Path("raw"), raw)
    write_slices(Path("labels"), labels)
    made = vemseg("init", "raw", "labels", *SIZE, "--minutes", "2", "--class", "mito=3")
    assert made.code == 0, made.text
    members = yaml.safe_load(printed(made))["classes"]["members"]
    assert [(each["name"], each["ids"]) for each in members] == [("background", [1, 2]), ("mito", [3])]
    assert any("--ignore 1,2" in line for line in made.text.splitlines() if line.startswith("vemseg: look at this: "))
    assert "--ignore 1,2" in " ".join(line.removeprefix("# ") for line in printed(made).splitlines())
    sparse = vemseg(
        "init", "raw", "labels", *SIZE, "--minutes", "2", "--class", "mito=3", "--class", "rest=2", "--ignore=1"
    )
    assert yaml.safe_load(printed(sparse))["classes"]["ignore_ids"] == [1]


def test_what_is_asked_for_is_taken(vemseg: Vemseg, monkeypatch: pytest.MonkeyPatch) -> None:
    """The voxel size, a name for each id (- where nobody labelled its voxels), the minutes."""
    raw, labels = tissue((5, 64, 120))
    write_slices(Path("raw"), raw)
    write_slices(Path("labels"), labels)
    monkeypatch.setattr("sys.stdin", io.StringIO("40,8,8\n-\nmito\nrest\n2\n"))
    made = vemseg("init", "raw", "labels", "--interactive")
    assert made.code == 0, made.text
    classes = yaml.safe_load(made.text[made.text.index("# yaml-language-server") :].partition("\nvemseg: ")[0])[
        "classes"
    ]
    assert classes["ignore_ids"] == [1]
    assert [(each["name"], each["ids"]) for each in classes["members"]] == [("mito", [2]), ("rest", [3])]


def test_what_it_cannot_know(pair: tuple[str, str], vemseg: Vemseg) -> None:
    labels = tissue((5, 64, 120))[1].astype(np.int16)
    np.save("below.npy", labels - labels.max())
    np.save("a=b.npy", labels - labels.min())
    for words, told in [
        ((*pair,), "give --voxel-size-nm z,y,x"),
        ((pair[0],), "has no labels beside it"),
        (("none", pair[1]), "no such file or folder"),
        ((*pair, *SIZE, "--class", "Mito=255"), "write it as name=1,2"),
        ((*pair, *SIZE, "--class", "mito=7"), "the labels hold 0, 255"),
        ((*pair, "--voxel-size-nm", "8"), "give three numbers"),
        ((*pair, *SIZE, "--labelled-slices", "90"), "slice 90; those of cell/images are 0 to 4"),
        ((*pair, *SIZE, "--minutes", "inf"), "--minutes inf"),
        ((pair[0], "below.npy", *SIZE), "below.npy hold the id -"),
        ((pair[0], f"er a={pair[1]},ER-a={pair[0]}", *SIZE), "both masks of 'er_a'"),
        ((pair[0], "a=b.npy", *SIZE, "--class", "mito=7"), "the labels hold 0"),
    ]:
        ended = vemseg("init", *words)
        assert (ended.code, told in ended.text, "Traceback" in ended.text) == (2, True, False), ended.text


def test_a_part_is_proposed_as_one(pair: tuple[str, str], vemseg: Vemseg) -> None:
    box = "1:5,0:64,8:120"
    made = vemseg("init", *pair, *SIZE, "--minutes", "2", "--box", box)
    assert made.code == 0, made.text
    config = parse_config(printed(made), "study")
    (capture,) = config.data.captures
    assert (capture.name, capture.raw, capture.labels) == ("cell", f"cell/images[{box}]", f"cell/mito_labels[{box}]")
    with open_source(capture.raw, Path(), TRUSTED) as source:
        assert source.shape_zyx == (4, 64, 112)


@pytest.mark.parametrize("words", [("--box", "1:2"), ("--box", "0:9,0:64,0:120"), ("--level", "1"), ("--level", "x")])
def test_a_part_that_is_not_there_is_refused(pair: tuple[str, str], vemseg: Vemseg, words: tuple[str, str]) -> None:
    assert vemseg("init", *pair, *SIZE, *words).code == 2


def test_a_part_is_of_one_stack(pair: tuple[str, str], vemseg: Vemseg) -> None:
    ended = vemseg("init", *pair, "--test", *pair, *SIZE, "--box", "1:5,0:64,8:120")
    assert ended.code == 2
    assert "for one stack" in ended.text
