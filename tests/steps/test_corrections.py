"""From a segmented volume to blocks that a person labels, and back into a study that learns from them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml
from tinystudy import CONFIG, NAMES, VOXEL_SIZE_NM, run_chain, tissue, write_study, write_tiff

from pipeline.config.model import Inference
from pipeline.errors import ConfigError, DataError, InputError, RunConflictError
from pipeline.run.layout import Run
from pipeline.run.provenance import model
from pipeline.steps.corrections import corrections_in, corrections_out
from pipeline.steps.infer import infer
from pipeline.steps.plan import plan
from pipeline.steps.prepare import prepare
from pipeline.steps.suggest import suggest
from pipeline.volume.geometry import Block
from pipeline.volume.omezarr import open_image, open_labels
from pipeline.volume.stores import Store

NEW_ZYX = (6, 96, 128)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("trained")
    return run_chain(write_study(folder), folder / "run", score=False)


@pytest.fixture(scope="module")
def segmented(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Another volume, half of which is of one grey, in which there is nothing to doubt twice."""
    folder = tmp_path_factory.mktemp("segmented")
    raw, _ = tissue(NEW_ZYX, seed=7)
    raw[:, :, 64:] = 60
    write_tiff(folder / "new.tif", raw)
    settings = Inference(probabilities=True, block_zyx=(4, 32, 64), shard_zyx=(2, 32, 64))
    url = str(folder / "run")
    prepare(
        trained.model_store("multilabel").url,
        str(folder / "new.tif"),
        url,
        voxel_size_nm=VOXEL_SIZE_NM,
        intensity="as_trained",
        inference=settings,
    )
    infer(url, target="multilabel")
    return Run.open(url)


@pytest.fixture
def out(segmented: Run, tmp_path: Path) -> Path:
    suggest(segmented.store.url, count=3, size_zyx=(1, 32, 32))
    folder = tmp_path / "to-label"
    corrections_out(segmented.store.url, folder)
    return folder


def labelled_block(folder: Path) -> tuple[dict[str, Any], tuple[slice, ...]]:
    block = Store.open(folder).read_json("corrections.json")["blocks"][0]
    start, stop, around = (np.array(block[key]) for key in ("start_zyx", "stop_zyx", "around_start_zyx"))
    return block, tuple(slice(*ends) for ends in zip(start - around, stop - around, strict=True))


# --- suggestions


def test_suggestions_lie_where_there_is_something_to_doubt_and_are_written_down(segmented: Run) -> None:
    found = suggest(segmented.store.url, count=4, size_zyx=(1, 32, 32))
    assert found.looked_at == 6 * 3 * 4
    first = found.blocks[0].block
    assert first.start_zyx[2] < 64
    told = segmented.suggestions
    assert [row["rank"] for row in told["blocks"]] == [1, 2, 3, 4]
    table = list(csv.DictReader(io.StringIO(segmented.evaluation_store.read("suggestions.csv").decode())))
    assert [int(table[0][f"{axis}_start_voxel"]) for axis in "zyx"] == list(first.start_zyx)
    assert segmented.evaluation_store.read("figures/suggestions.png").startswith(b"\x89PNG")
    assert [each.doubt for each in found.blocks] == pytest.approx(
        [lost(segmented, each.block) for each in found.blocks]
    )


def lost(run: Run, block: Block, said_by: str = "multilabel") -> float:
    """What of macro F1 is expected to be lost in a block, over what is lost in the mean."""
    whole, name = run.plan.captures[0].volume, run.plan.captures[0].name
    p = run.probabilities("multilabel", name).read(whole) / 255
    said = np.stack([run.segmentation(said_by, name).read(whole) == number for number in (1, 2, 3)])
    errors = np.where(said, 1 - p, p)
    if said_by == "merged":
        errors *= run.doubt(name).read(whole) / 255 / np.maximum(errors.max(axis=0), 1e-6)
    sizes = [p[c].mean() + said[c].mean() for c in range(3)]
    by_class = [
        (errors[c][block.slices].mean() / size, errors[c].mean() / size) for c, size in enumerate(sizes) if size
    ]
    here, anywhere = np.array(by_class).sum(axis=0)
    return float(here / anywhere)


def test_where_networks_are_merged_their_doubt_counts(tmp_path: Path) -> None:
    changes = {
        "training": {"targets": "all", "steps": 2, "binary_steps": 2, "validations": 1},
        "inference": {"region": "all", "merged": True, "doubt": True},
    }
    raw, labels = tissue()
    labels[:, :, 100:] = 0
    write_tiff(tmp_path / "raw.tif", raw)
    write_tiff(tmp_path / "labels.tif", labels)
    regions = [{"part": "train", "x": [0, 30]}, {"part": "validation", "x": [50, 60]}, {"part": "test", "x": [80, 90]}]
    ignore = {"classes": {"ignore_ids": [0]}, "split": {"regions": regions}}
    run = run_chain(write_study(tmp_path, changes | ignore), tmp_path / "run")
    (found,) = suggest(run.store.url, count=1, size_zyx=(4, 32, 32)).blocks
    assert found.doubt == pytest.approx(lost(run, found.block, "merged"))
    assert found.doubt != pytest.approx(lost(run, found.block, "multilabel"))


def test_blocks_that_are_labelled_or_near_the_test_part_are_left_out(tmp_path: Path) -> None:
    raw, labels = tissue((4, 64, 320))
    labels[:, :, 160:] = 0
    tmp_path.mkdir(exist_ok=True)
    write_tiff(tmp_path / "raw.tif", raw)
    write_tiff(tmp_path / "labels.tif", labels)
    regions = [
        {"part": "train", "x": [0, 60]},
        {"part": "validation", "x": [80, 110]},
        {"part": "test", "x": [130, 160]},
    ]
    changes = {
        "classes": {"ignore_ids": [0]},
        "split": {"regions": regions},
        "inference": {"region": "all", "probabilities": True},
    }
    run = run_chain(write_study(tmp_path, changes), tmp_path / "run", score=False)
    found = suggest(run.store.url, count=50, size_zyx=(1, 32, 32))
    guard = run.plan.guard_zyx[2]
    assert all(each.block.start_zyx[2] >= 160 + guard for each in found.blocks)
    assert found.looked_at == 4 * 2 * 4


def test_without_probabilities_or_suggestions_it_says_what_to_do(trained: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="probabilities"):
        suggest(trained.store.url)
    with pytest.raises(RunConflictError, match="vemseg suggest"):
        corrections_out(trained.store.url, tmp_path / "x")


# --- out and in


def test_a_block_goes_out_as_tiff_and_ome_zarr_with_what_a_network_sees_around_it(
    out: Path, segmented: Run, trained: Run
) -> None:
    block, inside = labelled_block(out)
    around = Block(tuple(block["around_start_zyx"]), tuple(block["around_stop_zyx"]))
    image, labels = tifffile.imread(out / "001/image.tif"), tifffile.imread(out / "001/labels.tif")
    np.testing.assert_array_equal(np.squeeze(segmented.image("volume").read(around)), np.squeeze(image))
    both = Store.open(out / "001/both.zarr")
    np.testing.assert_array_equal(open_image(both).read(Block.of_shape(around.shape_zyx)).squeeze(), image.squeeze())
    kept = open_labels(both, "labels")
    np.testing.assert_array_equal(kept.read(Block.of_shape(around.shape_zyx)).squeeze(), labels.squeeze())
    assert [name for _, name, _ in kept.classes] == list(NAMES)
    proposed = labels.reshape(around.shape_zyx)
    assert proposed[inside].all()
    assert np.count_nonzero(proposed) == proposed[inside].size
    assert all(edge >= patch for edge, patch in zip(around.shape_zyx, trained.plan.patch_zyx, strict=True))
    with tifffile.TiffFile(out / "001/labels.tif") as file:
        assert file.imagej_metadata is not None


# Three slices of another type than uint8 are what tifffile, as napari calls it, marks as the planes of a colour image.
@pytest.mark.filterwarnings("ignore:.*stored as RGB:DeprecationWarning")
@pytest.mark.parametrize("by", ["Fiji", "napari as TIFF", "OME-Zarr in place", "floats"])
def test_what_was_labelled_comes_back_as_captures_of_the_study(by: str, out: Path, trained: Run) -> None:
    block, inside = labelled_block(out)
    path = out / "001/labels.tif"
    labels = tifffile.imread(path).reshape(
        [stop - start for start, stop in zip(block["around_start_zyx"], block["around_stop_zyx"], strict=True)]
    )
    changed = labels.copy()
    changed[inside] = 3
    changed[inside][..., :5] = 0
    if by == "Fiji":
        tifffile.imwrite(path, changed, imagej=True, metadata={"axes": "ZYX"})
    elif by == "napari as TIFF":
        tifffile.imwrite(path, changed.astype(np.int32), compression="zlib")
    elif by == "floats":
        tifffile.imwrite(path, changed.astype(np.float32), photometric="minisblack")
    else:
        volume = open_labels(Store.open(out / "001/both.zarr"), "labels")
        volume.write(volume.geometry.block, changed)
    study = Path(str(trained.store.local_path())).parent / "study.yaml"
    taken = corrections_in(out, str(study))
    assert (taken.changed, taken.left) == (("001",), ("002", "003"))
    back = tifffile.imread(out / "001/taken.tif").reshape(changed.shape)
    np.testing.assert_array_equal(back[inside], changed[inside])
    assert not np.delete(back.ravel(), np.flatnonzero(changed)).any()
    data = yaml.safe_load(taken.study)
    assert data["data"]["captures"][1]["name"] == "round1_001"
    assert data["split"]["regions"][-1] == {"part": "train", "capture": "round1_001"}
    own = [region for region in data["split"]["regions"] if region["capture"] == "tiny"]
    boxes = {region["part"]: [[region[axis][end] for axis in "zyx"] for end in (0, 1)] for region in own}
    assert boxes == {part: [list(end) for end in ends] for part, (ends,) in trained.plan.captures[0].parts.items()}


def test_a_study_learns_from_the_blocks(out: Path, trained: Run) -> None:
    folder = Path(str(trained.store.local_path())).parent
    better = corrections_in(out, str(folder / "study.yaml"), accept_unchanged=True)
    (folder / "better.yaml").write_text(better.study)
    plan(str(folder / "better.yaml"), str(folder / "better"))
    run = Run.open(folder / "better")
    assert [each.name for each in run.plan.captures] == ["tiny", "round1_001", "round1_002", "round1_003"]
    voxels = [sum(each.class_voxels["train"]) for each in run.plan.captures[1:]]
    assert voxels == [32 * 32] * 3
    assert run.plan.patch_zyx == trained.plan.patch_zyx
    assert model(run, "multilabel").digest != model(trained, "multilabel").digest
    second = corrections_in(out, str(folder / "better.yaml"), accept_unchanged=True)
    assert "round2_001" in second.study


def test_a_study_whose_background_is_0_keeps_it_apart_from_not_labelled(out: Path, tmp_path: Path) -> None:
    members = [{**member, "ids": [number]} for number, member in enumerate(CONFIG["classes"]["members"])]
    raw, labels = tissue()
    write_tiff(tmp_path / "raw.tif", raw)
    write_tiff(tmp_path / "labels.tif", (labels - 1).astype(np.uint8))
    study = write_study(tmp_path, {"classes": {"members": members}})
    taken = corrections_in(out, str(study), accept_unchanged=True)
    back, sent = tifffile.imread(out / "001/taken.tif"), tifffile.imread(out / "001/labels.tif")
    np.testing.assert_array_equal(np.squeeze(back), np.where(np.squeeze(sent) == 0, 3, np.squeeze(sent) - 1))
    assert yaml.safe_load(taken.study)["classes"]["ignore_ids"] == [3]


def test_what_cannot_be_taken_is_refused_by_name(out: Path, trained: Run, tmp_path: Path) -> None:
    study = str(Path(str(trained.store.local_path())).parent / "study.yaml")
    with pytest.raises(ConfigError, match="accept-unchanged"):
        corrections_in(out, study)
    path = out / "001/labels.tif"
    labels = tifffile.imread(path)
    block, inside = labelled_block(out)
    shape = [stop - start for start, stop in zip(block["around_start_zyx"], block["around_stop_zyx"], strict=True)]
    write_tiff(path, labels[..., 1:])
    with pytest.raises(DataError, match=r"labels\.tif"):
        corrections_in(out, study)
    strange = labels.reshape(shape).copy()
    strange[inside] = 9
    write_tiff(path, strange)
    with pytest.raises(DataError, match="holds 9"):
        corrections_in(out, study)
    with pytest.raises(ConfigError, match="holds corrections already"):
        corrections_out(Store.open(out).read_json("corrections.json")["run"], out)
    with pytest.raises(InputError, match=r"corrections\.json"):
        corrections_in(tmp_path, study)


def test_two_label_images_that_were_both_changed_are_not_guessed_between(out: Path, trained: Run) -> None:
    block, inside = labelled_block(out)
    shape = [stop - start for start, stop in zip(block["around_start_zyx"], block["around_stop_zyx"], strict=True)]
    one, other = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    one[inside], other[inside] = 1, 2
    write_tiff(out / "001/labels.tif", one)
    volume = open_labels(Store.open(out / "001/both.zarr"), "labels")
    volume.write(volume.geometry.block, other)
    with pytest.raises(DataError, match="both changed"):
        corrections_in(out, str(Path(str(trained.store.local_path())).parent / "study.yaml"))
    write_tiff(out / "001/labels.tif", other)
    study = Path(str(trained.store.local_path())).parent / "study.yaml"
    assert corrections_in(out, str(study)).changed == ("001",)
