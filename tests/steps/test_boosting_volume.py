"""A volume boosted on its own: ``vemseg boost prepare``, train, apply, finish.

The result is so many times finer, lies over the same place, and comes of volumes of every kind: 8 and 16 bits, floats,
one slice, slices of 40 x 40 pixels or of one grey. One network a slice, gradual factors and kernels in arrays work.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from tinystudy import ZSSR, Finished, files, markers, place, tissue, whole, write_tiff

from pipeline.errors import RunConflictError
from pipeline.run.layout import Run
from pipeline.steps.boosting.apply import apply
from pipeline.steps.boosting.degrade import degrade
from pipeline.steps.boosting.finish import finish
from pipeline.steps.boosting.prepare import prepare
from pipeline.steps.boosting.train import train

VOXEL_SIZE_NM = (40.0, 8.0, 10.0)
COARSE = tissue((3, 40, 44))[0]


def boosted(folder: Path, data: NDArray[Any] | None, method: str = "zssr", **settings: Any) -> Run:
    """The run of a volume that is written, if it is not there, taken in and boosted."""
    zssr = ZSSR | {"most_steps": 4} | settings.pop("zssr", {})
    if data is not None:
        write_tiff(folder / "coarse.tif", data)
    url = str(folder / "run")
    text = yaml.safe_dump({"zssr": zssr, **settings})
    prepare(str(folder / "coarse.tif"), url, method=method, settings=text, voxel_size_nm=VOXEL_SIZE_NM)
    if method == "zssr":
        train(url)
    apply(url, method=method)
    return Run.open(url)


def clouds(side: int) -> NDArray[np.uint16]:
    """Structure of every size, as much of each: what a kernel can be estimated from."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = np.inf
    field = np.fft.ifft2(np.fft.fft2(np.random.default_rng(0).normal(size=(side, side))) / frequency).real
    return (20_000 + 4_000 * field / field.std()).astype(np.uint16)


@pytest.mark.parametrize(("factor", "fine_yx"), [(2, (80, 88)), (3, (120, 132)), (1.5, (60, 66)), (2.5, (100, 110))])
def test_a_volume_becomes_finer_and_stays_where_it_is(factor: float, fine_yx: tuple[int, int], tmp_path: Path) -> None:
    run = boosted(tmp_path, COARSE, "bicubic", factor=factor)
    image, fine = run.image("volume"), run.variant("bicubic", "volume")
    assert fine.shape_zyx == (3, *fine_yx)
    assert fine.geometry.voxel_size_nm == pytest.approx((40, 8 / factor, 10 / factor))
    for axis in (1, 2):
        corners = [
            place_.translation_nm[axis] - place_.voxel_size_nm[axis] / 2 for place_ in (image.geometry, fine.geometry)
        ]
        assert corners[0] == pytest.approx(corners[1])
    assert fine.geometry.translation_nm[0] == image.geometry.translation_nm[0]
    attributes = json.loads((place(run) / "boosted.zarr/bicubic/volume/zarr.json").read_text())["attributes"]
    written = attributes["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    shift = -(factor - 1) / 2 / factor
    assert written[0]["scale"] == pytest.approx([40, 8 / factor, 10 / factor])
    assert written[1]["translation"] == pytest.approx([0, 8 * shift, 10 * shift])


def test_made_coarse_again_it_is_the_volume(tmp_path: Path) -> None:
    """Back-projection: the mean over what a coarse pixel covers is nearly its grey value."""
    settings = {"kernel": "area", "factor": 2, "zssr": {"back_projections": 20, "most_steps": 1}}
    run = boosted(tmp_path, gaussian_filter(COARSE, (0, 1, 1)), **settings)
    fine = whole(run.variant("zssr", "volume")).astype(float)
    means = fine.reshape(3, 40, 2, 44, 2).mean(axis=(2, 4))
    assert np.abs(means - whole(run.image("volume"))).mean() < 1


WIDE = tissue((1, 16, 300))[0]


def levels(run: Run) -> int:
    return len(Run.open(place(run)).variant("zssr", "volume").levels)


def test_finish_writes_a_pyramid_and_a_picture(tmp_path: Path) -> None:
    run = boosted(tmp_path, WIDE)
    url = str(place(run))
    finish(url)
    assert levels(run) > 1
    assert (place(run) / "evaluation/figures/boosted_zssr_volume.png").stat().st_size > 1000
    before = files(place(run))
    finish(url)
    assert train(url) == apply(url, method="zssr") == 0
    assert files(place(run)) == before


def test_the_earlier_volume_in_its_place_again_has_its_pyramid_again(tmp_path: Path) -> None:
    """What an array of another shape took with it is not taken for done."""
    run = boosted(tmp_path, WIDE)
    finish(str(place(run)))
    before, tiff = files(place(run)), tmp_path / "coarse.tif"
    tiff.rename(tmp_path / "earlier.tif")
    boosted(tmp_path, COARSE)
    (tmp_path / "earlier.tif").replace(tiff)
    boosted(tmp_path, None)
    finish(str(place(run)))
    assert files(place(run)) == before


def test_one_network_a_slice(tmp_path: Path) -> None:
    run = boosted(tmp_path, COARSE, zssr={"mode": "slice"})
    networks = sorted(path.name for path in (place(run) / "models/super-resolution/volume").iterdir())
    assert networks == ["slice_0000", "slice_0001", "slice_0002"]
    alone = boosted(_folder(tmp_path, "alone"), COARSE[1:2], zssr={"mode": "slice"})
    assert np.array_equal(whole(alone.variant("zssr", "volume"))[0], whole(run.variant("zssr", "volume"))[1])


def test_gradual_factors_lead_up(tmp_path: Path) -> None:
    run = boosted(tmp_path, COARSE, factor=2, zssr={"gradual_factors": [1.25, 1.5]})
    trained = markers(place(run), "boost/train")
    assert set(trained) == {"volume.json", "volume/factor_1.25.json", "volume/factor_1.5.json"}
    assert whole(run.variant("zssr", "volume")).shape == (3, 80, 88)
    assert train(str(place(run))) == 0


def test_a_kernel_of_an_array_and_one_that_is_estimated(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).random((4, 3)) + 0.1
    np.save(tmp_path / "kernel.npy", weights)
    run = boosted(tmp_path, COARSE, kernel=str(tmp_path / "kernel.npy"))
    kept = run.model_store("super-resolution").child("volume").read_json("model.json")["kernel"]
    assert np.asarray(kept) == pytest.approx(weights / weights.sum())
    run = boosted(_folder(tmp_path, "estimated"), clouds(96)[None], zssr={"kernel": "estimated"})
    kept = np.asarray(run.model_store("super-resolution").child("volume").read_json("model.json")["kernel"])
    assert kept.sum() == pytest.approx(1)
    assert min(kept.shape) >= 3


@pytest.mark.parametrize("method", ["bilinear", "bicubic", "zssr"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_constant_slices_stay_constant(method: str, dtype: type, tmp_path: Path) -> None:
    run = boosted(tmp_path, np.full((2, 24, 24), 200, dtype), method)
    fine = whole(run.variant(method, "volume"))
    assert fine.dtype == dtype
    assert np.abs(fine.astype(int) - 200).max() <= (1 if method == "zssr" else 0)


@pytest.mark.parametrize("method", ["bicubic", "zssr"])
def test_16_bits_keep_their_range(method: str, tmp_path: Path) -> None:
    data = COARSE.astype(np.uint16) * 200 + 1000
    fine = whole(boosted(tmp_path, data, method).variant(method, "volume"))
    assert fine.dtype == np.uint16
    assert fine.shape == (3, 80, 88)
    assert fine.mean() == pytest.approx(data.mean(), rel=0.02)
    assert fine.std() > 0.6 * data.std()
    assert fine.max() > 40_000


def test_bright_and_dark_are_cut_off_at_the_ends_of_the_type(tmp_path: Path) -> None:
    """Cubic interpolation overshoots at edges; whole numbers must not wrap around."""
    checks = (np.indices((1, 32, 32)).sum(axis=0) // 4 % 2 * 255).astype(np.uint8)
    fine = whole(boosted(tmp_path, checks, "bicubic").variant("bicubic", "volume"))[0]
    bright = np.kron(checks[0] == 255, np.ones((2, 2), bool))
    assert fine[bright].min() > 100
    assert fine[~bright].max() < 155


@pytest.mark.parametrize("shape", [(1, 40, 40), (2, 16, 16), (1, 17, 301)], ids=lambda shape: "x".join(map(str, shape)))
def test_small_and_narrow_volumes(shape: tuple[int, int, int], tmp_path: Path) -> None:
    run = boosted(tmp_path, tissue(shape)[0], zssr={"patch": 64, "fold": 2})
    fine = whole(run.variant("zssr", "volume"))
    assert fine.shape == (shape[0], 2 * shape[1], 2 * shape[2])
    assert fine.std() > 10


def test_another_volume_or_setting_in_its_place_is_refused(tmp_path: Path, vemseg: Callable[..., Finished]) -> None:
    run = boosted(tmp_path, COARSE, "bilinear")
    before = files(place(run))
    words = ["--run", place(run), "--input", tmp_path / "coarse.tif", "--voxel-size-nm", "40,8,10"]
    ended = vemseg("boost", "prepare", *words, "--method", "bilinear", "--settings", "{factor: 3}")
    assert ended.code == 2
    assert "choose another run URL" in " ".join(ended.text.split())
    assert files(place(run)) == before
    with pytest.raises(RunConflictError, match="nothing to make coarse"):
        degrade(str(place(run)))


def test_a_changed_volume_is_boosted_anew(tmp_path: Path) -> None:
    run = boosted(tmp_path, COARSE, "bilinear")
    again = boosted(tmp_path, 255 - COARSE, "bilinear")
    assert place(run) == place(again)
    fresh = boosted(_folder(tmp_path, "fresh"), 255 - COARSE, "bilinear")
    assert np.array_equal(whole(again.variant("bilinear", "volume")), whole(fresh.variant("bilinear", "volume")))


def test_the_workflow_is_told_what_there_is_to_do(tmp_path: Path) -> None:
    write_tiff(tmp_path / "coarse.tif", COARSE)
    prepare(
        str(tmp_path / "coarse.tif"),
        str(tmp_path / "run"),
        method="bilinear",
        settings="{workers: 3}",
        voxel_size_nm=VOXEL_SIZE_NM,
        outputs=tmp_path / "outputs",
    )
    told = {path.name: path.read_text() for path in (tmp_path / "outputs").iterdir()}
    assert told["boosting"] == "true"
    assert json.loads(told["boost-methods"]) == [{"method": "bilinear", "learns": False}]
    assert told["boost-learns"] == "false"
    assert told["boost-workers"] == "3"


def _folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name
