"""Models as packages of bioimage.io: read by its own library, run without vemseg, and taken back exactly."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tinystudy import CONFIG, run_chain, tissue, write_study

from pipeline.config.model import MULTILABEL
from pipeline.errors import ConfigError, DataError, InputError
from pipeline.nn.blockwise import BlockPredictor, predict_blocks
from pipeline.nn.model import load_model
from pipeline.run.layout import Run
from pipeline.steps.bioimage import Credits, export_model, import_model
from pipeline.steps.prepare import prepare
from pipeline.volume.geometry import Block

spec = pytest.importorskip("bioimageio.spec")
# bioimageio.spec 0.5.14 leaves the files that it packs open until they are collected.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
CREDITS = Credits(("A. Person",), "CC-BY-4.0", ("Person, 2026", "https://example.org/paper"))
RUN_ALONE = """
import numpy as np, sys, torch
folder = sys.argv[1]
network = torch.jit.load(f"{folder}/network.pt")
found = network(torch.from_numpy(np.load(f"{folder}/test_input.npy"))).detach().numpy()
assert "pipeline" not in sys.modules
np.testing.assert_allclose(found, np.load(f"{folder}/test_output.npy"), atol=1e-5)
other = network(torch.zeros((1, 1, 4, 48, 40), dtype=torch.uint8))
assert other.shape[2:] == (4, 48, 40)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("trained")
    return run_chain(write_study(folder, {"training": {"targets": "all"}}), folder / "run", score=False)


@pytest.fixture(scope="module", params=[MULTILABEL, "bright"])
def package(request: pytest.FixtureRequest, run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    file = tmp_path_factory.mktemp("package") / "model.zip"
    export_model(run.store.url, request.param, file, CREDITS)
    return request.param, file


def unpacked(file: Path, folder: Path) -> Path:
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.filterwarnings("default")
def test_the_librarys_own_reader_accepts_it(package: tuple[str, Path]) -> None:
    target, file = package
    described: Any = spec.load_description(file, perform_io_checks=True)
    assert described.validation_summary.status in ("passed", "valid-format"), described.validation_summary
    assert [axis.id for axis in described.inputs[0].axes] == ["batch", "channel", "z", "y", "x"]
    scales = {axis.id: axis.scale for axis in described.inputs[0].axes[2:]}
    assert scales == pytest.approx({"z": 0.04, "y": 0.008, "x": 0.008})
    names = [str(name) for name in described.outputs[0].axes[1].channel_names]
    assert names == (["dark", "grey", "bright"] if target == MULTILABEL else ["bright"])


def test_the_network_runs_without_vemseg(package: tuple[str, Path], tmp_path: Path) -> None:
    folder = unpacked(package[1], tmp_path)
    subprocess.run([sys.executable, "-W", "ignore", "-c", RUN_ALONE, str(folder)], check=True, cwd=tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_says_of_a_volume_what_inference_says(package: tuple[str, Path], run: Run, tmp_path: Path) -> None:
    target, file = package
    raw = tissue((4, 64, 96), seed=5)[0]
    store = run.model_store(target)
    model = load_model(store.read("model.safetensors"), store.read_json("model.json"), store.url)
    predictor = BlockPredictor(model.network, model.normalisation, device=torch.device("cpu"))
    expected = np.zeros((len(model.target.class_ids), *raw.shape), np.float32)
    blocks = [Block((0, 0, x), (4, 64, x + 32)) for x in (0, 32, 64)]
    for core, logits_CZYX in predict_blocks(predictor, lambda block: raw[block.slices], blocks, raw.shape):
        expected[(slice(None), *core.slices)] = model.target.probabilities(model.confidence(logits_CZYX)).numpy()
    network = torch.jit.load(unpacked(file, tmp_path) / "network.pt")  # type: ignore[no-untyped-call]
    with torch.inference_mode():
        found = network(torch.from_numpy(raw)[None, None])[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_cores_of_objects_are_no_channel_of_their_own(tmp_path: Path) -> None:
    *others, bright = CONFIG["classes"]["members"]
    changes = {"classes": {"members": [*others, {**bright, "instances": True, "rim_nm": 8}]}}
    run = run_chain(write_study(tmp_path, changes), tmp_path / "run", score=False)
    export_model(run.store.url, MULTILABEL, tmp_path / "model.zip", CREDITS)
    folder = unpacked(tmp_path / "model.zip", tmp_path / "package")
    found = np.load(folder / "test_output.npy")
    assert found.shape[1] == 3
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    subprocess.run([sys.executable, "-W", "ignore", "-c", RUN_ALONE, str(folder)], check=True, cwd=tmp_path)


def test_it_is_taken_back_to_the_last_bit_and_segments(package: tuple[str, Path], run: Run, tmp_path: Path) -> None:
    target, file = package
    told = import_model(file, str(tmp_path / "mine"))
    assert told["target"]["name"] == target
    for name in ("model.json", "model.safetensors"):
        assert (tmp_path / "mine" / name).read_bytes() == run.model_store(target).read(name)
    prepare(
        str(tmp_path / "mine"),
        str(run.store.local_path().parent / "raw.tif"),
        str(tmp_path / "run"),
        voxel_size_nm=(40, 8, 8),
    )  # type: ignore[union-attr]
    with pytest.raises(InputError, match="holds a model already"):
        import_model(file, str(tmp_path / "mine"))


def test_voxels_and_margin_are_said_in_its_page(package: tuple[str, Path]) -> None:
    with zipfile.ZipFile(package[1]) as archive:
        text = archive.read("README.md").decode()
        described = yaml.safe_load(archive.read("rdf.yaml"))
    assert "40 x 8 x 8" in text
    assert "1 x 19 x 19" in text
    halo = {axis["id"]: axis.get("halo", 0) for axis in described["outputs"][0]["axes"][2:]}
    assert halo == {"z": 0, "y": 9, "x": 9}


def test_the_cover_is_twice_as_wide_as_high(package: tuple[str, Path]) -> None:
    from PIL import Image

    with zipfile.ZipFile(package[1]) as archive:
        width, height = Image.open(io.BytesIO(archive.read("cover.png"))).size
    assert width == 2 * height


def test_a_licence_that_is_none_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="license") as told:
        export_model(run.store.url, MULTILABEL, tmp_path / "m.zip", Credits(("A",), "mine alone", CREDITS.cite))
    assert len(str(told.value)) < 200
    assert not (tmp_path / "m.zip").exists()


@pytest.mark.parametrize("what", ["no zip", "another program's", "weights of another"])
def test_a_package_that_cannot_be_taken_back_is_refused(
    what: str, package: tuple[str, Path], run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "other.zip"
    if what == "no zip":
        file.write_bytes(b"nothing")
    else:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("rdf.yaml", "type: model")
            if what == "weights of another":
                archive.writestr("model.json", run.model_store("dark").read("model.json"))
                archive.writestr("model.safetensors", run.model_store("grey").read("model.safetensors"))
    with pytest.raises(DataError, match=r"other\.zip"):
        import_model(file, str(tmp_path / "mine"))
    assert not (tmp_path / "mine" / "model.json").exists()
