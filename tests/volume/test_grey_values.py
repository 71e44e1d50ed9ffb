"""Grey values: what is far from a training, what brings it there, and that storage and cuts change nothing."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from pipeline.errors import ConfigError
from pipeline.phantom import make_phantom
from pipeline.volume.geometry import Block
from pipeline.volume.greymeter import SAMPLED_VOXELS, measured
from pipeline.volume.greyvalues import SHARES, GreyMap, GreyValues, compare, grey_map, joint
from pipeline.volume.intensity import IntensityHistogram
from pipeline.volume.sources import TRUSTED, open_source
from pipeline.volume.sources.base import Source

TISSUE = make_phantom((3, 160, 160), seed=1).raw
VARIANTS = {
    "as it is": TISSUE,
    "16 bits": TISSUE.astype("u2") * 257,
    "0 to 1": (TISSUE / 255).astype("f4"),
    "inverted": 255 - TISSUE,
    "inverted, 16 bits": (255 - TISSUE).astype("u2") * 257,
    "stretched": ((TISSUE.astype("f4") - 60) * 40 - 3000).astype("f4"),
}
REAL = Path(__file__).parents[3] / "shared" / "data" / "vnc" / "raw"


class InMemory(Source):
    """An array as a source."""

    def __init__(self, voxels: np.ndarray, slices_at_once: int = 0) -> None:
        self.location, self.shape_zyx, self.dtype = "array", voxels.shape, voxels.dtype
        self.slices_at_once, self._voxels, self.read_voxels = slices_at_once, voxels, 0

    def read_block(self, block: Block) -> np.ndarray:
        self.read_voxels += block.voxels
        return self._voxels[block.slices]


def of(voxels: np.ndarray) -> GreyValues:
    return measured(InMemory(voxels))


@pytest.mark.parametrize("name", VARIANTS)
def test_only_the_volume_as_it_was_recorded_is_near(name: str) -> None:
    found = compare(of(VARIANTS[name]), of(TISSUE))
    assert found.is_far == (name != "as it is")
    assert found.is_inverted == name.startswith("inverted")


def test_grey_values_are_told_without_exponents() -> None:
    values = GreyValues("uint32", 8.0, 4294967295.0, tuple(np.linspace(1.23456, 65535.4, len(SHARES))))
    assert values.text.startswith("uint32, 8 to 4294967295; quantiles 0.5\u00a0%\u00a0")
    assert "99.5\u00a0%" in values.text
    assert "e+" not in values.text
    assert GreyValues("float32", -1.5e-5, 0.870588, (0.58437,) * len(SHARES)).text.startswith(
        "float32, -1.5e-05 to 0.870588; quantiles 0.5\u00a0%\u00a00.5844, "
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_matched_voxels_are_those_of_the_training(name: str) -> None:
    mapped = grey_map(of(VARIANTS[name]), of(TISSUE), "match")
    assert mapped is not None
    inner = (np.quantile(TISSUE, 0.01) < TISSUE) & (np.quantile(TISSUE, 0.99) > TISSUE)
    off = np.abs(mapped(VARIANTS[name]) - TISSUE)
    assert off[inner].max() < 1.0
    assert off.max() < 10.0  # beyond the outermost knots the map goes on straight


def test_percentiles_stretch_and_never_turn_round() -> None:
    mapped = grey_map(of(VARIANTS["16 bits"]), of(TISSUE), "percentile")
    inverted = grey_map(of(VARIANTS["inverted"]), of(TISSUE), "percentile")
    assert mapped is not None
    assert inverted is not None
    np.testing.assert_allclose(mapped(VARIANTS["16 bits"]), TISSUE, atol=1e-3)
    assert np.corrcoef(inverted(VARIANTS["inverted"]).ravel(), TISSUE.ravel())[0, 1] < -0.99


@pytest.mark.parametrize("seed", range(3))
def test_another_place_of_the_same_tissue_is_near(seed: int) -> None:
    other = make_phantom((2, 128, 128), seed=10 + seed).raw
    assert not compare(of(other), of(TISSUE)).is_far


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no sections in {REAL}")
def test_sections_of_one_study_are_near_each_other_and_their_inverse_is_not() -> None:
    sections = [tifffile.imread(path) for path in sorted(REAL.glob("*.tif"))[::4]]
    trained = of(np.stack(sections))
    for section in sections:
        for corner in (section[None, :512, :512], section[None, 512:, 512:]):
            assert not compare(of(corner), trained).is_far
            assert compare(of(255 - corner), trained).is_inverted


@given(st.integers(1, 40), st.integers(-300, 300))
def test_how_far_does_not_depend_on_units(factor: int, offset: int) -> None:
    """A volume and a training that are both recorded in other units are as far apart as before."""
    darker = np.clip(TISSUE.astype("f4") * 0.8, 0, 255)
    before, after = (
        compare(of(a), of(b))
        for a, b in ((darker, TISSUE.astype("f4")), (darker * factor + offset, TISSUE * np.float32(factor) + offset))
    )
    assert after.shift == pytest.approx(before.shift, abs=0.05)
    assert after.ratio == pytest.approx(before.ratio, rel=0.05)


@pytest.mark.parametrize("gamma", [0.4, 2.2])
@pytest.mark.parametrize("inverted", [False, True])
def test_bent_grey_values_are_not_taken_for_inverted_ones(gamma: float, inverted: bool) -> None:
    """A histogram alone cannot tell them apart: dark tails become bright ones by either."""
    bent = 255 * (TISSUE.astype("f4") / 255) ** gamma
    volume, trained = of(255 - bent if inverted else bent), of(TISSUE)
    assert compare(volume, trained).is_inverted == inverted
    mapped = grey_map(volume, trained, "match")
    assert mapped is not None
    assert np.abs(mapped(255 - bent if inverted else bent) - TISSUE).mean() < 1.0


def test_equalised_contrast_shows_which_way_round_it_is() -> None:
    ranks = np.searchsorted(np.sort(TISSUE, axis=None), TISSUE).astype("f4") / TISSUE.size
    assert not compare(of(ranks), of(TISSUE)).is_inverted
    assert compare(of(1 - ranks), of(ranks)).is_inverted


@pytest.mark.parametrize("fill", [0, 128, 255])
def test_padding_is_no_tissue(fill: int) -> None:
    padded = np.full((3, 260, 260), fill, np.uint8)
    padded[:, 40:200, 50:210] = TISSUE
    found = of(padded)
    assert found.padding == pytest.approx(np.mean(padded == fill), abs=1e-6)
    assert found.quantiles == pytest.approx(of(TISSUE).quantiles, abs=1)
    assert not compare(found, of(TISSUE)).is_far


def test_an_image_of_few_values_has_no_padding() -> None:
    values = of(np.repeat(np.array([10, 20, 30], np.uint8), [900, 50, 50]).reshape(1, 10, 100))
    assert (values.padding, values.quantiles[0], values.quantiles[-1]) == (0.0, 10.0, 30.0)


def test_a_volume_of_one_value_is_far_and_cannot_be_mapped() -> None:
    flat = of(np.full((2, 8, 8), 7, np.uint8))
    assert compare(flat, of(TISSUE)).is_far
    with pytest.raises(ConfigError):
        grey_map(flat, of(TISSUE), "match")


@given(st.data())
def test_a_map_is_of_voxels_one_by_one_and_monotone(data: st.DataObject) -> None:
    rising = st.lists(st.floats(-1e5, 1e5), min_size=2, max_size=9, unique=True).map(sorted)
    given_ = data.draw(rising.filter(lambda knots: min(np.diff(knots)) > 1e-3))
    becomes = np.sort(data.draw(st.lists(st.floats(-1e4, 1e4), min_size=len(given_), max_size=len(given_))))
    becomes = becomes[:: data.draw(st.sampled_from([1, -1]))]
    apply = GreyMap(tuple(given_), tuple(becomes.tolist()))
    values = np.linspace(given_[0] - 10, given_[-1] + 10, 60).astype("f4").reshape(3, 4, 5)
    mapped = apply(values)
    np.testing.assert_array_equal(mapped[1:, :2, 3:], apply(values[1:, :2, 3:]))
    steps = np.diff(mapped.ravel().astype("f8"))
    assert (steps >= -1e-2).all() or (steps <= 1e-2).all()


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_whole_numbers_are_mapped_as_floats_are(dtype: str) -> None:
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (2, 9, 9), endpoint=True).astype(dtype)
    apply = GreyMap((10.0, 100.0, 200.0), (5.0, 6.0, 90.0))
    np.testing.assert_array_equal(apply(values), apply(values.astype("f4")))


def test_a_large_volume_is_sampled_everywhere_and_alike_however_it_is_stored(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    drift = np.linspace(0, 60, 40)[:, None, None]
    large = (gaussian_filter(rng.normal(size=(40, 512, 512)), (0, 2, 2)) * 200 + 100 + drift).clip(0, 255).astype("u1")
    assert large.size > SAMPLED_VOXELS
    tifffile.imwrite(tmp_path / "pages.tif", large, photometric="minisblack")
    zarr.create_array(tmp_path / "chunks.zarr", data=large, chunks=(16, 128, 128))
    found = []
    for name in ("pages.tif", "chunks.zarr"):
        with open_source(name, tmp_path, TRUSTED) as source:
            found.append(measured(source))
    assert found[0] == found[1]
    assert found[0].quantiles == pytest.approx(np.quantile(large, SHARES), abs=3)


def test_what_is_read_of_a_huge_volume_is_bounded() -> None:
    huge = InMemory(np.broadcast_to(np.arange(256, dtype="u1"), (5000, 3000, 256)))
    measured(huge)
    assert huge.read_voxels <= SAMPLED_VOXELS


def test_several_captures_are_as_their_voxels_together() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(mean, 20, (1, 200, size)).clip(0, 255).astype("u1") for mean, size in ((90, 100), (150, 300))]
    together = joint([(part.size, of(part)) for part in parts])
    assert together.quantiles == pytest.approx(np.quantile(np.concatenate([p.ravel() for p in parts]), SHARES), abs=3)


@given(st.lists(st.integers(0, 255), min_size=9, max_size=60))
def test_quantiles_without_padding_are_numpys_of_what_is_left(values: list[int]) -> None:
    histogram = IntensityHistogram(np.dtype("u1"))
    histogram.add(np.array(values, "u1"))
    quantiles, padding = histogram.quantiles_without_padding(SHARES)
    counts = np.bincount(values)
    left = np.array(values)
    if padding:
        ends = (min(values), max(values))
        spikes = [v for v in set(values) if counts[v] > max((0.01 if v in ends else 0.1) * len(values), 4)]
        left = min(
            (left[~np.isin(left, part)] for size in range(1, len(spikes) + 1) for part in combinations(spikes, size)),
            key=lambda kept: abs(1 - kept.size / len(values) - padding),
        )
    assert quantiles == np.quantile(left, SHARES, method="inverted_cdf").tolist()
