"""What cannot be boosted is refused with exit code 2, by name and with a cure, before any work is spent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tinystudy import BOOSTING, Finished, place, tissue, write_study, write_tiff

from pipeline.run.layout import Run
from pipeline.steps.plan import plan

Vemseg = Callable[..., Finished]


def refused(ended: Finished, *words: str) -> None:
    """Exit code 2, and the words in the message, however it is wrapped."""
    assert ended.code == 2, ended.text
    assert "Traceback" not in ended.text
    message = " ".join(ended.text.replace("│", " ").split())
    assert all(word in message for word in words), message


SETTINGS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "factor 1": ({"factor": 1}, ["boosting.factor", "greater than 1"]),
    "factor below 1": ({"factor": 0.5}, ["boosting.factor", "greater than 1"]),
    "factor not finite": ({"factor": float("inf")}, ["boosting.factor"]),
    "factor that leaves too little": ({"factor": 5}, ["boosting.factor", "12 x 32", "at least 16", "smaller factor"]),
    "unknown method": ({"methods": ["lanczos"]}, ["boosting.methods", "bilinear", "zssr"]),
    "the same method twice": ({"methods": ["bicubic", "bicubic"]}, ["boosting.methods", "twice"]),
    "unknown setting": ({"zssr": {"step": 3}}, ["boosting.zssr.step"]),
    "no such kernel": ({"kernel": "box"}, ["boosting.kernel", "gaussian:SIGMA"]),
    "a Gaussian without width": ({"kernel": "gaussian:0"}, ["boosting.kernel", "gaussian:SIGMA"]),
    "missing kernel file": ({"kernel": "none.npy"}, ["none.npy", "no such file"]),
    "a kernel that is no array": ({"kernel": "text.npy"}, ["text.npy", "write the kernel again"]),
    "a kernel of three axes": ({"kernel": "cube.npy"}, ["cube.npy", "matrix"]),
    "a kernel whose sum is zero": ({"kernel": "zero.npy"}, ["zero.npy", "above zero"]),
    "a kernel larger than the slices": ({"kernel": "large.npy"}, ["boosting.kernel", "65 x 9", "64 x 160", "crop"]),
    "a kernel larger than the coarse slices": (
        {"zssr": {"kernel": "medium.npy"}},
        ["boosting.zssr.kernel", "33 x 9", "32 x 80", "crop"],
    ),
    "gradual factors beyond the factor": ({"zssr": {"gradual_factors": [1.5, 2]}}, ["gradual_factors", "below"]),
    "gradual factors that fall": ({"zssr": {"gradual_factors": [1.5, 1.25]}}, ["gradual_factors", "rise"]),
    "gradual factors of a Gaussian": (
        {"kernel": "gaussian:1", "zssr": {"gradual_factors": [1.5]}},
        ["gradual_factors", "area or bicubic"],
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the capture and files of kernels."""
    folder = tmp_path_factory.mktemp("input")
    write_study(folder)
    (folder / "text.npy").write_text("1 2 1")
    arrays = {"cube": (3, 3, 3), "large": (65, 9), "medium": (33, 9)}
    for name, shape in arrays.items():
        np.save(folder / f"{name}.npy", np.ones(shape))
    np.save(folder / "zero.npy", np.array([[1.0, -1.0]]))
    return folder


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_that_cannot_be(case: str, folder: Path, tmp_path: Path, vemseg: Vemseg) -> None:
    settings, words = SETTINGS[case]
    config = write_study(folder, {"boosting": BOOSTING["boosting"] | settings}, name="bad.yaml")
    refused(vemseg("plan", "--config", config, "--run", tmp_path / "run"), *words)
    assert not (tmp_path / "run/plan.json").exists()


VOLUMES: dict[str, tuple[tuple[int, ...], dict[str, Any], list[str]]] = {
    "too small": ((2, 12, 40), {}, ["12 x 40", "at least 16"]),
    "factor 1": ((2, 40, 40), {"factor": 1}, ["factor", "greater than 1"]),
    "a kernel larger than its slices": ((2, 24, 24), {"kernel": "medium.npy"}, ["33 x 9", "24 x 24", "crop"]),
    "an unknown setting": ((2, 24, 24), {"factors": 2}, ["factors"]),
}


@pytest.mark.parametrize("case", VOLUMES)
def test_volumes_that_cannot_be(
    case: str, folder: Path, tmp_path: Path, vemseg: Vemseg, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape, settings, words = VOLUMES[case]
    monkeypatch.chdir(folder)
    write_tiff(tmp_path / "coarse.tif", tissue(shape)[0])
    given = ["--input", tmp_path / "coarse.tif", "--voxel-size-nm", "40,8,8", "--settings", yaml.safe_dump(settings)]
    refused(vemseg("boost", "prepare", "--run", tmp_path / "run", *given), *words)
    assert not (tmp_path / "run/plan.json").exists()


def test_settings_that_are_no_yaml(folder: Path, tmp_path: Path, vemseg: Vemseg) -> None:
    words = ["--run", tmp_path / "run", "--input", folder / "raw.tif", "--voxel-size-nm", "40,8,8"]
    for text in ("{factor: ", "factor", "[2]"):
        refused(vemseg("boost", "prepare", *words, "--settings", text), "settings")
    refused(vemseg("boost", "prepare", *words, "--method", "lanczos"), "lanczos", "bicubic")
    refused(vemseg("boost", "prepare", *words[:-2]), "--voxel-size-nm")


@pytest.fixture(scope="module")
def unboosted(folder: Path) -> Path:
    """A study that boosts nothing, planned."""
    url = folder / "unboosted"
    plan(str(write_study(folder)), str(url))
    return url


@pytest.mark.parametrize("step", ["degrade", "train", "apply", "compare", "finish"])
def test_a_run_that_boosts_nothing(step: str, unboosted: Path, vemseg: Vemseg) -> None:
    refused(vemseg("boost", step, "--run", unboosted), "boosts nothing", "boosting.methods")


def test_a_variant_that_the_run_does_not_have(unboosted: Path, folder: Path, tmp_path: Path, vemseg: Vemseg) -> None:
    infer = ["infer", "--target", "multilabel"]
    refused(vemseg(*infer, "--run", unboosted, "--variant", "zssr"), "boosts nothing")
    one = {"boosting": BOOSTING["boosting"] | {"methods": ["bilinear"]}}
    plan(str(write_study(folder, one, name="one.yaml")), str(tmp_path / "run"))
    run = ["--run", tmp_path / "run"]
    refused(vemseg(*infer, *run, "--variant", "bicubic"), "'bicubic'", "bilinear")
    refused(vemseg("boost", "apply", *run, "--method", "zssr"), "'zssr'", "bilinear")
    refused(vemseg("boost", "train", *run), "nothing that learns", "bilinear")
    refused(vemseg("boost", "apply", *run, "--method", "lanczos"), "lanczos")
    refused(vemseg("boost", "apply", *run, "--method", "bilinear", "--worker", "1"), "worker")
    refused(vemseg("boost", "apply", *run, "--method", "bilinear"), "vemseg boost degrade")
    assert not list((place(Run.open(tmp_path / "run")) / "boosted.zarr").rglob("c/*"))
