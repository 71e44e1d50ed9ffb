"""vemseg describe says what a file holds, what is doubtful about it, and what a model makes of its grey values."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from tinystudy import Finished, tissue, write_tiff

from pipeline.errors import DataError
from pipeline.run.layout import Run
from pipeline.volume.description import Description, describe
from pipeline.volume.sources import STRANGER, TRUSTED

Command = Callable[..., Finished]
RAW, LABELS = tissue((3, 40, 56), seed=1)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def described(vemseg: Command, *words: str) -> dict[str, object]:
    ended = vemseg("describe", *words, "--json")
    assert ended.code == 0, ended.text
    content: dict[str, object] = json.loads(ended.text)
    return content


@pytest.mark.parametrize("input_is", ["trusted", "untrusted"])
def test_a_stack_is_described_in_numbers_and_a_picture(vemseg: Command, input_is: str) -> None:
    tifffile.imwrite(
        "raw.tif", RAW, imagej=True, resolution=(125, 125), metadata={"axes": "ZYX", "spacing": 0.04, "unit": "um"}
    )
    found = described(vemseg, "raw.tif", f"--input-is={input_is}")
    assert (found["shape_zyx"], found["dtype"], found["voxel_size_nm"]) == ([3, 40, 56], "uint8", [40, 8, 8])
    values = found["grey_values"]
    assert isinstance(values, dict)
    assert (values["minimum"], values["maximum"]) == (RAW.min(), RAW.max())
    assert values["quantiles"][8] == np.quantile(RAW, 0.5, method="inverted_cdf")
    assert found["remarks"] == []
    with Image.open(str(found["picture"])) as picture:
        assert np.corrcoef(np.asarray(picture).ravel(), RAW[1].ravel())[0, 1] > 0.99


def test_labels_are_counted_exactly(vemseg: Command) -> None:
    ids = LABELS.astype("u8") + 2**63
    np.save("labels.npy", ids)
    found = described(vemseg, "labels.npy", "--labels", "--no-picture")
    expected = dict(zip(*np.unique(ids, return_counts=True), strict=True))
    assert dict(found["label_ids"]) == expected  # type: ignore[attr-defined]
    assert found["label_count"] == 3
    assert list(Path.cwd().glob("*.png")) == []


def test_each_stack_has_a_picture_of_its_own(vemseg: Command) -> None:
    """Folders of slices are called raw everywhere."""
    pictures = []
    for folder, values in (("a", RAW), ("b", RAW[:, ::-1])):
        Path(folder).mkdir()
        np.save(f"{folder}/raw.npy", values)
        pictures.append(str(described(vemseg, f"{folder}/raw.npy")["picture"]))
    pictures.append(str(described(vemseg, str(Path.cwd() / "a/raw.npy"))["picture"]))
    assert pictures == ["a-raw.npy.slice.png", "b-raw.npy.slice.png", "a-raw.npy.slice.png"]
    with Image.open(pictures[0]) as one, Image.open(pictures[1]) as other:
        assert np.array_equal(np.asarray(one), np.asarray(other)[::-1])


def test_fractions_are_no_labels(vemseg: Command) -> None:
    np.save("grey.npy", (RAW / 255).astype("f4"))
    assert vemseg("describe", "grey.npy", "--labels").code == 2


def odd(folder: Path) -> dict[str, tuple[str, set[str]]]:
    """Location and codes of the remarks of files of which there is something to say."""
    blocky = np.kron(np.random.default_rng(0).integers(1, 5, (2, 8, 8)), np.ones((1, 6, 6))).astype("u1")
    padded = np.pad(RAW, ((0, 0), (20, 20), (20, 20)))
    for name, data in {"blocky": blocky, "padded": padded, "flat": np.ones_like(RAW), "one": RAW[:1]}.items():
        np.save(folder / f"{name}.npy", data)
    np.save(folder / "signed.npy", RAW.astype("i2"))
    with h5py.File(folder / "two.h5", "w") as file:
        file["small"], file["large"] = RAW[:1], RAW
    return {
        "blocky.npy": ("blocky.npy", {"looks-like-labels"}),
        "padded.npy": ("padded.npy", {"padding"}),
        "flat.npy": ("flat.npy", {"one-value"}),
        "one.npy": ("one.npy", {"single-slice"}),
        "signed.npy": ("signed.npy", {"other-type"}),
        "two.h5": ("two.h5:/large", {"largest-of-several"}),
    }


def test_what_is_doubtful_has_a_code_of_its_own(here: Path) -> None:
    for name, (location, codes) in odd(here).items():
        found = describe(name, here, TRUSTED)
        assert (found.location, {each.code for each in found.remarks} - {"no-voxel-size"}) == (location, codes)


def test_a_confined_answer_is_the_same_description(here: Path) -> None:
    write_tiff(here / "raw.tif", RAW)
    found = describe("raw.tif", here, STRANGER, labels=True)
    sent = json.loads(json.dumps(found.as_json())) | {"preview": found.preview}
    for change in (
        {"shape_zyx": [0, 2, 3]},
        {"shape_zyx": "abc"},
        {"dtype": "object"},
        {"stored_dtype": "no type"},
        {"voxel_size_nm": [1, 2]},
        {"preview": np.zeros((2, 2, 2), np.uint8)},
        {"grey_values": sent["grey_values"] | {"quantiles": [1.0]}},
        {"remarks": [3]},
        {"more": 1},
    ):
        with pytest.raises(DataError, match=r"^raw\.tif: .* no proper answer"):
            Description.of_answer(sent | change, "raw.tif")
    again = Description.of_answer(sent, "raw.tif")
    assert again.preview is found.preview
    assert again.as_json() == found.as_json()
    assert again.rows == found.rows


def test_a_model_says_whether_it_knows_the_grey_values(vemseg: Command, finished: Run, here: Path) -> None:
    model = finished.model_store("multilabel").url
    for name, data, word in (("near.tif", tissue(seed=3)[0], "near"), ("far.tif", 255 - tissue(seed=3)[0], "far")):
        write_tiff(here / name, data)
        assert described(vemseg, name, "--model", model)["grey_values_beside_the_model"].startswith(word)  # type: ignore[attr-defined]


def test_axes_are_told_as_the_file_has_them_and_as_they_are_read(here: Path) -> None:
    turned = RAW.transpose(2, 1, 0)
    zarr.create_array("turned.zarr", data=turned, chunks=(16, 16, 3), dimension_names=("x", "y", "z"))
    with h5py.File(here / "turned.h5", "w") as file:
        file["data"] = turned
        for dimension, name in zip(file["data"].dims, "xyz", strict=True):
            dimension.label = name
    with mrcfile.new(here / "turned.mrc") as file:
        file.set_data(turned.astype("i2"))
        file.header.mapc, file.header.mapr, file.header.maps = 3, 2, 1
    tifffile.imwrite("stack.tif", RAW, imagej=True, metadata={"axes": "ZYX"})
    np.save("stack.npy", RAW)
    expected = {"zarr": "x, y, z", "h5": "x, y, z", "mrc": "x, y, z", "tif": "z, y, x", "npy": ""}
    for path in (*here.glob("turned.*"), *here.glob("stack.*")):
        found = describe(path.name, here, TRUSTED)
        assert (path.name, found.axes_found, found.shape_zyx) == (path.name, expected[path.suffix[1:]], RAW.shape)
        assert found.rows["Axes"].endswith("read as z, y, x")


def test_a_slice_and_a_folder_of_masks_are_told_from_what_is_no_volume() -> None:
    folder = Path("masks/cell")
    folder.mkdir(parents=True)
    Image.fromarray(LABELS[0].astype(np.uint8)).save(folder / "0.png")
    for given, told in (("masks", "such as masks/cell$"), ("masks/cell/0.png", "a single slice; name the folder")):
        with pytest.raises(DataError, match=told):
            describe(given, Path.cwd(), TRUSTED)
    assert "Grey values" in describe("masks/cell", Path.cwd(), TRUSTED).rows
    assert "Grey values" not in describe("masks/cell", Path.cwd(), TRUSTED, labels=True).rows
