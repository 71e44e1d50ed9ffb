"""The wheel: what it installs, away from this checkout, has all that the program reads beside its code."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import venv
from pathlib import Path
from urllib.parse import unquote
from urllib.request import urlopen

import numpy as np
import pytest
import tifffile
from PIL import Image

from pipeline.phantom import PHANTOM_CLASSES, make_phantom

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built of copies of what the image's stage `wheel` copies."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    for name in ("pipeline", "workflows"):
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    built = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-c", build, str(built)], cwd=source, check=True, capture_output=True)
    (found,) = built.glob("vemseg-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment that the wheel is installed in; its libraries are those of this one."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place)
    pip = [sys.executable, "-m", "pip", "--python", place / "bin/python"]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--quiet", wheel], check=True)
    theirs = [path for path in sys.path if Path(path).name == "site-packages"]
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    # After its own, so that vemseg comes from the wheel.
    (packages / "libraries.pth").write_text("\n".join(theirs) + "\n")
    return place


def _say(installed: Path, folder: Path, *words: str) -> str:
    command = [str(installed / "bin" / words[0]), *words[1:]]
    here = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=folder, env=here, check=True, capture_output=True, text=True).stdout


def test_the_program_runs_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    assert "phantom" in _say(installed, tmp_path, "vemseg", "--help")
    where = _say(installed, tmp_path, "python", "-c", "import pipeline; print(pipeline.__file__)")
    assert Path(where.strip()).is_relative_to(installed)


def test_examples_pages_and_workflows_are_in_the_wheel(installed: Path, tmp_path: Path) -> None:
    example = _say(installed, tmp_path, "vemseg", "config", "example")
    (tmp_path / "study.yaml").write_text(example)
    _say(installed, tmp_path, "vemseg", "phantom", "capture", "--shape", "3,64,64", "--example", "demo")
    assert (tmp_path / "capture/study.yaml").is_file()
    _say(installed, tmp_path, "vemseg", "workflows", "copy", "segment", "mine")
    assert (tmp_path / "mine/segment.yaml").read_bytes() == (REPOSITORY / "workflows/segment.yaml").read_bytes()
    planned = _say(installed, tmp_path, "vemseg", "run", "study", "-p", "config=study.yaml", "-p", "run=r", "--dry-run")
    assert "plan --config=study.yaml --run=r" in planned


def test_every_file_beside_the_code_is_in_the_wheel(installed: Path) -> None:
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(installed)}))
    ours = {
        path.relative_to(REPOSITORY)
        for path in (REPOSITORY / "pipeline").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {path for path in ours if not (packages / path).is_file()} == set()


FULL = os.environ.get("VEMSEG_FIRST_HOUR") == "full"
"""Sizes and minutes as a person has them: six minutes on two cores; else as small as the phantom allows."""


def _write_slices(folder: Path, shape_zyx: tuple[int, int, int], seed: int) -> None:
    """A capture as PNG slices, and beside it masks of its mitochondria."""
    phantom = make_phantom(shape_zyx, seed=seed)
    mitochondria = phantom.labels == PHANTOM_CLASSES.index("mitochondria") + 1
    for name, data in (("images", phantom.raw), ("mito_labels", mitochondria.astype(np.uint8) * 255)):
        (folder / name).mkdir(parents=True)
        for z, plane in enumerate(data):
            Image.fromarray(plane).save(folder / name / f"slice_{z:04d}.png")


def _viewed(installed: Path, folder: Path, run: str) -> set[str]:
    """The layers of the address that `vemseg view` prints, each read where the address says it is."""
    command = [str(installed / "bin/vemseg"), "view", run]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as viewing:
        assert viewing.stdout is not None
        try:
            (address,) = (line.strip() for line in iter(viewing.stdout.readline, "Ctrl-C ends this.\n") if "#!" in line)
            layers = json.loads(unquote(address.partition("#!")[2]))["layers"]
            for layer in layers:
                source = layer["source"] if isinstance(layer["source"], str) else layer["source"][0]
                url = (source if isinstance(source, str) else source["url"]).partition("|")[0]
                with urlopen(f"{url.rstrip('/')}/zarr.json") as answer:
                    assert json.load(answer)["attributes"]["ome"]["multiscales"]
        finally:
            viewing.send_signal(signal.SIGINT)
    return {layer["name"] for layer in layers}


@pytest.mark.slow
def test_from_slices_to_a_table_and_a_picture_for_fiji_without_editing(installed: Path, tmp_path: Path) -> None:
    """Two captures, one class, a separate test stack, away from the checkout: init, run, view, export."""
    _write_slices(tmp_path / "train", (20, 320, 384) if FULL else (8, 96, 224), 0)
    _write_slices(tmp_path / "test", (12, 256, 256) if FULL else (4, 96, 96), 1)
    begun = time.monotonic()
    pairs = ["train/images", "train/mito_labels", "--test", "test/images", "test/mito_labels"]
    words = [*pairs, "--voxel-size-nm", "10,5,5", "--minutes", "5" if FULL else "0.1"]
    (tmp_path / "study.yaml").write_text(_say(installed, tmp_path, "vemseg", "init", *words))
    shown = _say(installed, tmp_path, "vemseg", "run", "study", "-p", "config=study.yaml", "-p", "run=runs/first")
    assert "All classes trained" in shown
    assert "mito" in shown
    assert "vemseg-study" not in shown
    assert _viewed(installed, tmp_path, "runs/first") == {"raw", "segmentation", "truth", "split"}
    _say(installed, tmp_path, "vemseg", "export", "runs/first", "classes.tif")
    exported = tifffile.imread(tmp_path / "classes.tif")
    assert exported.shape == ((12, 256, 256) if FULL else (4, 96, 96))
    assert set(np.unique(exported)) <= {0, 1, 2}
    assert (tmp_path / "runs/first/evaluation/report.html").is_file()
    scores = json.loads((tmp_path / "runs/first/evaluation/scores.json").read_text())
    assert "mito" in json.dumps(scores)
    if FULL:
        assert time.monotonic() - begun < 360
        (mito,) = [row for row in scores["rows"] if row["name"] == "mito"]
        assert mito["multilabel"]["f1"] > 0.8
