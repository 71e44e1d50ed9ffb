"""A study that makes its test part coarse and boosts it again: what the steps write, and what they leave alone.

- Coarse and boosted images lie where they belong (OME-Zarr metadata), and hold what scikit-image and Pillow make.
- Neither workers nor shards show in the result; another setting repeats what depends on it and nothing else.
- The tables agree with each other, with scikit-learn, and with the arrays that are stored.
How well a network learns is tested with the networks; kills and bad input have files of their own.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import block_reduce
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import f1_score, jaccard_score
from tinystudy import (
    BOOSTING,
    NAMES,
    SHAPE_ZYX,
    VOXEL_SIZE_NM,
    ZSSR,
    Finished,
    boost,
    files,
    markers,
    place,
    run_chain,
    tissue,
    whole,
    write_study,
    write_tiff,
)
from torch import Tensor

from pipeline.nn.zssr.examples import Examples
from pipeline.nn.zssr.superresolution import SuperResolution
from pipeline.run.layout import Run
from pipeline.steps.boosting.apply import apply
from pipeline.steps.boosting.compare import compare
from pipeline.steps.boosting.degrade import degrade
from pipeline.steps.boosting.train import train
from pipeline.steps.infer import infer
from pipeline.steps.plan import plan
from pipeline.volume.geometry import Block

METHODS = ("bilinear", "bicubic", "zssr")
VARIANTS = ("native", *METHODS)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("boosting"), BOOSTING)


@pytest.fixture(scope="module")
def boosted(config: Path) -> Run:
    """A run in which everything is done; only to be read."""
    return run_chain(config, config.parent / "run")


@pytest.fixture
def copy(boosted: Run, tmp_path: Path) -> Run:
    shutil.copytree(place(boosted), tmp_path / "run")
    return Run.open(tmp_path / "run")


def scored(run: Run) -> Block:
    (block,) = run.plan.capture("tiny").split().test
    return block


def metadata(run: Run, variant: str) -> dict[str, Any]:
    """Of the finest level, as it stands in the file."""
    attributes = json.loads((place(run) / f"boosted.zarr/{variant}/tiny/zarr.json").read_text())["attributes"]
    scales = attributes["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    return {transformation["type"]: transformation[transformation["type"]] for transformation in scales}


def test_coarse_pixels_lie_in_the_middle_of_what_they_cover(boosted: Run) -> None:
    depth, height, width = SHAPE_ZYX
    size_z, size_y, size_x = VOXEL_SIZE_NM
    coarse = boosted.variant("downsampled", "tiny")
    assert coarse.shape_zyx == (depth, height // 2, width // 2)
    assert coarse.geometry.voxel_size_nm == (size_z, 2 * size_y, 2 * size_x)
    assert coarse.geometry.translation_nm == (0, size_y / 2, size_x / 2)
    written = metadata(boosted, "downsampled")
    assert written["scale"] == [size_z, 2 * size_y, 2 * size_x]
    assert written["translation"] == [0, size_y / 2, size_x / 2]
    for method in METHODS:
        assert boosted.variant(method, "tiny").geometry == boosted.image("tiny").geometry
        assert boosted.variant(method, "tiny").dtype == boosted.image("tiny").dtype


def test_all_that_is_written_is_valid_ome_zarr(boosted: Run) -> None:
    from ome_zarr_models.v05.image import Image as OmeImage

    for variant in ("downsampled", *METHODS):
        OmeImage.from_zarr(zarr.open_group(place(boosted) / f"boosted.zarr/{variant}/tiny", mode="r"))


def expected_coarse(run: Run) -> NDArray[np.uint8]:
    means = block_reduce(whole(run.image("tiny")).astype(np.float64), (1, 2, 2), np.mean)
    return np.rint(means).astype(np.uint8)


def test_coarse_slices_are_scikit_images_means(boosted: Run) -> None:
    assert np.array_equal(whole(boosted.variant("downsampled", "tiny")), expected_coarse(boosted))


def test_bilinear_is_pillows(boosted: Run) -> None:
    """To the voxel, in all of the test part and around it as far as its segmentation depends on it."""
    size = SHAPE_ZYX[:0:-1]
    slices = [Image.fromarray(plane.astype(np.float32)) for plane in expected_coarse(boosted)]
    expected = np.rint([np.asarray(plane.resize(size, Image.Resampling.BILINEAR)) for plane in slices])
    radius = [edge // 2 for edge in boosted.plan.receptive_field_zyx]
    around = scored(boosted).grow(radius).intersect(boosted.plan.capture("tiny").volume)
    assert around is not None
    assert np.array_equal(boosted.variant("bilinear", "tiny").read(around), expected[around.slices])


def test_nothing_is_learnt_from_padding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, labels = tissue()
    raw[..., :5], raw[..., -20:] = 0, 0
    write_tiff(tmp_path / "raw.tif", raw)
    write_tiff(tmp_path / "labels.tif", labels)
    plan(str(write_study(tmp_path, BOOSTING)), str(tmp_path / "run"))
    degrade(str(tmp_path / "run"))
    learnt_from: list[Tensor] = []
    examples = SuperResolution.examples

    def noted(self: SuperResolution, images: list[Tensor], reached: list[Tensor]) -> Examples:
        learnt_from.extend(images)
        return examples(self, images, reached)

    monkeypatch.setattr(SuperResolution, "examples", noted)
    train(str(tmp_path / "run"))
    assert {image.shape[1] for image in learnt_from} == {SHAPE_ZYX[2] // 2 - 2 - 10}


def test_only_the_test_part_is_predicted_and_all_of_it(boosted: Run) -> None:
    for method in METHODS:
        predicted = whole(boosted.segmentation("multilabel", "tiny", method))
        assert (predicted[scored(boosted).slices] > 0).all()
        assert np.count_nonzero(predicted) == scored(boosted).voxels


def test_methods_differ(boosted: Run) -> None:
    images = [whole(boosted.variant(method, "tiny")) for method in METHODS]
    assert not any(np.array_equal(images[a], images[b]) for a, b in ((0, 1), (0, 2), (1, 2)))


def tables(run: Run) -> dict[str, Any]:
    return json.loads((place(run) / "evaluation/ablation.json").read_text())


def test_image_quality_is_scikit_images(boosted: Run) -> None:
    native = whole(boosted.image("tiny"))[scored(boosted).slices]
    rows = {row["name"]: row["quality"] for row in tables(boosted)["inputs"]}
    assert rows["native"] is None
    for method in METHODS:
        found = whole(boosted.variant(method, "tiny"))[scored(boosted).slices]
        pairs = list(zip(native, found, strict=True))
        psnr = [peak_signal_noise_ratio(a, b, data_range=255) for a, b in pairs]
        gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        ssim = [structural_similarity(a, b, data_range=255, **gaussian) for a, b in pairs]
        assert rows[method]["slices"] == len(pairs)
        assert rows[method]["psnr_db"] == pytest.approx(np.mean(psnr))
        assert rows[method]["ssim"] == pytest.approx(np.mean(ssim), abs=0.01)  # its own borders


def test_scores_are_scikit_learns_and_the_tables_agree(boosted: Run) -> None:
    text = (place(boosted) / "evaluation/ablation.csv").read_text()
    table = {
        (line["input"], line["row"], line["name"], line["measure"]): line for line in csv.DictReader(io.StringIO(text))
    }
    truth = whole(boosted.truth("tiny"))[scored(boosted).slices].ravel()
    f1 = {}
    for variant in VARIANTS:
        predicted = whole(boosted.segmentation("multilabel", "tiny", variant))[scored(boosted).slices].ravel()
        for name, score in (("f1", f1_score), ("iou", jaccard_score)):
            expected = score(truth, predicted, labels=[1, 2, 3], average=None, zero_division=0)
            for number, class_name in enumerate(NAMES):
                value = table[variant, "class", class_name, name]["value"]
                assert (float(value) if value else 0.0) == pytest.approx(expected[number])
            f1[variant] = f1_score(truth, predicted, labels=[1, 2, 3], average="weighted", zero_division=0)
        assert float(table[variant, "average", "weighted", "f1"]["value"]) == pytest.approx(f1[variant])
    for comparison in tables(boosted)["comparisons"]:
        name, reference = comparison["name"], comparison["reference"]
        weighted = next(row for row in comparison["rows"] if row["name"] == "weighted" and row["is_average"])
        assert weighted["f1"]["estimate"] == pytest.approx(f1[name] - f1[reference])
        line = table[name, "average", "weighted", "f1"]
        assert float(line[f"difference_from_{reference}"]) == pytest.approx(f1[name] - f1[reference])
    markdown = (place(boosted) / "evaluation/ablation.md").read_text()
    for row in tables(boosted)["inputs"]:
        assert row["name"] in markdown
        if row["quality"]:
            assert f"{row['quality']['psnr_db']:.2f}" in markdown


def test_figures_and_blocks(boosted: Run) -> None:
    figures = {path.stem for path in (place(boosted) / "evaluation/figures").glob("ablation*.png")}
    assert figures == {"ablation_f1_against_native", "ablation_f1_against_bicubic", "ablation_tiny_0000"}
    depth, height, width = scored(boosted).shape_zyx
    assert tables(boosted)["blocks"] == depth * -(-height // 16) * -(-width // 16)


def test_what_is_done_is_not_done_again(copy: Run, config: Path) -> None:
    before = files(place(copy), without=("events", "metrics"))
    url = str(place(copy))
    assert degrade(url) == train(url) == 0
    for method in METHODS:
        assert apply(url, method=method) == infer(url, target="multilabel", variant=method) == 0
    compare(url)
    assert files(place(copy), without=("events", "metrics")) == before


def test_three_workers_write_the_bytes_of_one(boosted: Run, copy: Run) -> None:
    expected = files(place(boosted) / "boosted.zarr")
    shutil.rmtree(place(copy) / "done/boost")
    for path in (place(copy) / "boosted.zarr").rglob("c/**/*"):
        if path.is_file():
            path.unlink()
    boost(str(place(copy)), METHODS, workers=3)
    levels = {name for name in expected if "/c/" in name and "/tiny/0/" in name}
    assert len(levels) > 3 * len(METHODS)
    found = files(place(copy) / "boosted.zarr")
    assert {name: found.get(name) for name in levels} == {name: expected[name] for name in levels}


def changed(folder: Path, name: str, *, zssr: dict[str, Any] | None = None, **sections: Any) -> Path:
    boosting = BOOSTING["boosting"] | sections.pop("boosting", {}) | {"zssr": ZSSR | (zssr or {})}
    return write_study(folder, {"boosting": boosting, **sections}, name=f"{name}.yaml")


def test_shards_do_not_show_in_the_result(boosted: Run, copy: Run, config: Path) -> None:
    """Not even by the rounding of what lies between two grey levels."""
    grid = {"block_zyx": [2, 20, 28], "shard_zyx": [4, 40, 56]}
    url = str(place(copy))
    plan(str(changed(config.parent, "grid", inference=grid)), url, update=True)
    assert degrade(url) > 0
    assert train(url) == 0
    for method in METHODS:
        assert apply(url, method=method) > 0
        found, expected = (run.variant(method, "tiny").read(scored(boosted)) for run in (Run.open(url), boosted))
        assert np.array_equal(found, expected), method


def anew(run: Run, config: Path) -> set[str]:
    """What a changed configuration repeats of boosting: steps with their method."""
    before = markers(place(run), "boost")
    predicted = markers(place(run), "infer")
    plan(str(config), str(place(run)), update=True)
    boost(str(place(run)), METHODS)
    after = markers(place(run), "boost")
    repeated = {name.split("/")[0] for name, time in after.items() if before.get(name) != time}
    inferred = {name.split("/")[0] for name, time in markers(place(run), "infer").items() if predicted[name] != time}
    return repeated | inferred


CHANGES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "noise": ({"zssr": {"noise": 0.01}}, {"train", "zssr", "multilabel-zssr"}),
    "ensemble": ({"zssr": {"self_ensemble": False}}, {"zssr", "multilabel-zssr"}),
    "learnt-kernel": ({"zssr": {"kernel": "gaussian:0.8"}}, {"train", "zssr", "multilabel-zssr"}),
    "workers": ({"boosting": {"workers": 3}}, set()),
    "blocks": ({"boosting": {"comparison_block_zyx": [1, 32, 32]}}, set()),
    "factor": (
        {"boosting": {"factor": 1.5}},
        {"downsampled", "train", *METHODS, *(f"multilabel-{method}" for method in METHODS)},
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_setting_repeats_what_depends_on_it(name: str, copy: Run, config: Path) -> None:
    changes, expected = CHANGES[name]
    assert anew(copy, changed(config.parent, name, **changes)) == expected


def test_another_factor_and_back_ends_with_the_same_files(copy: Run, config: Path) -> None:
    """The coarse images of the other factor took their coarser levels with them."""
    before = files(place(copy) / "boosted.zarr")
    plan(str(changed(config.parent, "other", boosting={"factor": 1.5})), str(place(copy)), update=True)
    run_chain(changed(config.parent, "back"), place(copy), update=True)
    assert files(place(copy) / "boosted.zarr") == before


def test_another_table_where_only_its_blocks_are_others(copy: Run, config: Path) -> None:
    blocks = {"comparison_block_zyx": [1, 32, 32]}
    plan(str(changed(config.parent, "blocks", boosting=blocks)), str(place(copy)), update=True)
    before = tables(copy)["blocks"]
    compare(str(place(copy)))
    assert tables(copy)["blocks"] < before


def test_steps_in_the_wrong_order_name_the_one_that_is_missing(copy: Run, vemseg: Callable[..., Finished]) -> None:
    url = place(copy)
    shutil.rmtree(url / "done/boost/zssr")
    refused(vemseg("infer", "--run", url, "--target", "multilabel", "--variant", "zssr"), "vemseg boost apply", "zssr")
    refused(vemseg("boost", "compare", "--run", url), "vemseg boost apply")
    shutil.rmtree(url / "done/boost/train")
    refused(vemseg("boost", "apply", "--run", url, "--method", "zssr"), "vemseg boost train")
    shutil.rmtree(url / "done/boost/downsampled")
    refused(vemseg("boost", "train", "--run", url), "vemseg boost degrade")
    refused(vemseg("boost", "apply", "--run", url, "--method", "bilinear"), "vemseg boost degrade")


def refused(ended: Finished, *words: str) -> None:
    assert ended.code == 2, ended.text
    assert "Traceback" not in ended.text
    message = " ".join(ended.text.split("vemseg: ")[-1].split())
    assert all(word in message for word in words), message
