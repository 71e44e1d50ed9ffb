"""Models on offer, and whether they fit the voxels of a volume: warnings appear exactly where the pipeline refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinystudy import NAMES, VOXEL_SIZE_NM, place

from pipeline.nn.description import VOXEL_SIZE_TOLERANCE
from pipeline.run.layout import Run
from pipeline.webapp.catalogue import ModelCard, ModelClass, mismatch, models

CARD = ModelCard(
    name="demo",
    url="file:///demo/models/multilabel",
    target="multilabel",
    classes=(ModelClass(1, "membrane", "#ff0000", 0.9),),
    overlapping=False,
    voxel_size_nm=(10.0, 5.0, 5.0),
    macro_f1=None,
    weighted_f1=None,
    steps=None,
)
RATIO = st.floats(0.1, 10)


def test_a_run_offers_all_its_targets_and_a_model_itself(finished: Run) -> None:
    url = str(place(finished))
    cards = models([url])
    assert [card.target for card in cards] == ["multilabel", *sorted(NAMES)]
    first = cards[0]
    assert [(each.value, each.name) for each in first.classes] == list(enumerate(NAMES, 1))
    assert first.voxel_size_nm == VOXEL_SIZE_NM
    assert first.macro_f1 is not None
    assert all(each.f1 is not None for each in first.classes)
    assert models([f"{url}/models/multilabel"]) == [first]


def test_binary_models_have_a_rest_without_a_score(finished: Run) -> None:
    card = next(card for card in models([str(place(finished))]) if card.target == NAMES[0])
    assert [(each.value, each.name, each.f1 is None) for each in card.classes] == [
        (1, NAMES[0], False),
        (2, "rest", True),
    ]
    assert card.macro_f1 == card.classes[0].f1


def test_what_holds_no_model_offers_none(finished: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "models/damaged").mkdir(parents=True)
    (tmp_path / "models/damaged/model.json").write_text("{}")
    places = [str(tmp_path / "nothing"), str(tmp_path), f"{tmp_path}/models/damaged", str(place(finished))]
    assert len(models(places)) == 1 + len(NAMES)
    assert len(caplog.records) == 3


@given(RATIO, RATIO, RATIO)
def test_warnings_appear_where_the_pipeline_would_refuse(z: float, y: float, x: float) -> None:
    refused = max(max(ratio, 1 / ratio) for ratio in (z, y, x)) > VOXEL_SIZE_TOLERANCE
    assert (mismatch((10 * z, 5 * y, 5 * x), CARD) is not None) == refused


@given(RATIO, RATIO, RATIO)
def test_what_is_offered_mends_it(z: float, y: float, x: float) -> None:
    found = mismatch((10 * z, 5 * y, 5 * x), CARD)
    for treatment in found.treatments if found else ():
        assert mismatch(treatment.voxel_size_nm, CARD) is None


def test_twice_too_coarse_in_the_plane_can_be_boosted() -> None:
    found = mismatch((10, 10, 10), CARD)
    assert found is not None
    assert [(each.key, each.voxel_size_nm) for each in found.treatments] == [
        ("bicubic", (10, 5, 5)),
        ("zssr", (10, 5, 5)),
    ]


@pytest.mark.parametrize("size_nm", [(4, 4, 4), (40, 10, 10), (10, 2, 2), (5, 10, 10)])
def test_all_else_within_reason_can_be_resampled(size_nm: tuple[float, float, float]) -> None:
    found = mismatch(size_nm, CARD)
    assert found is not None
    assert [(each.key, each.voxel_size_nm) for each in found.treatments] == [("resample", (10, 5, 5))]


def test_nothing_mends_what_is_out_of_reach() -> None:
    found = mismatch((1000, 5, 5), CARD)
    assert found is not None
    assert found.treatments == ()
