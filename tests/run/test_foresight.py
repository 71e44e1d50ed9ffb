"""Time left: each step by its pace, those to come by what was expected, corrected by what others took."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from pipeline.run.foresight import DOUBTED_S, Foresight, Pace, StepLook, expectation

RECORDED = ("recorded_study.json.gz", "recorded_boosting.json.gz")
"""Real studies on a machine that did nothing else, their steps every second or two: of one class, and of the demo, nine
networks with boosting (`bench_estimate --record`)."""
TRAIN, INFER = ("train", "multilabel"), ("infer", "multilabel")


def look(key: tuple[str, str], done: int, total: int, seconds: float, *, is_done: bool = False) -> StepLook:
    return StepLook(key, done, total, seconds, is_done)


def test_a_step_goes_on_as_fast_as_it_went() -> None:
    pace = Pace()
    assert pace.seconds_left(5, 100, 200) is None  # goes on from a checkpoint: nothing is known of the pace yet
    assert pace.seconds_left(15, 104, 200) is None
    assert pace.seconds_left(15, 110, 200) == pytest.approx(90)
    assert pace.seconds_left(20, 110, 200) == pytest.approx(85)
    assert pace.seconds_left(999, 110, 200) == 0


def test_what_has_not_begun_takes_what_was_expected_times_what_others_took() -> None:
    foresight = Foresight()
    assert foresight.seconds_left_in_all() is None
    expected = {("plan", ""): 2.0, TRAIN: 100.0, INFER: 10.0, ("evaluate", ""): 20.0}
    foresight.expect(["plan: receptive field", f"plan: {expectation(expected)}"])
    assert foresight.seconds_left_in_all() == pytest.approx(132)
    plan = look(("plan", ""), 1, 1, 3, is_done=True)
    for seconds, done in ((10, 0), (60, 50)):  # a second a step, and expected were half of it
        foresight.see([plan, look(TRAIN, done, 200, seconds)])
    assert foresight.seconds_left(TRAIN) == pytest.approx(150)
    assert foresight.seconds_left(INFER) == pytest.approx(21)
    evaluated = 20 * (3 + DOUBTED_S) / (2 + DOUBTED_S)  # one short step says little of a processor
    assert foresight.seconds_left_in_all() == pytest.approx(150 + 21 + evaluated)


def test_targets_that_are_predicted_together_are_expected_together() -> None:
    foresight = Foresight()
    foresight.expect([expectation({("infer", "multilabel,membrane"): 20.0})])
    assert foresight.seconds_left(("infer", "multilabel,membrane")) == 20.0


def test_steps_that_are_at_work_at_once_count_once() -> None:
    foresight = Foresight()
    foresight.expect([expectation({("train", name): 100.0 for name in "abcd"} | {("report", ""): 5.0})])
    assert foresight.seconds_left_in_all() == pytest.approx(405)
    foresight.see([look(("train", name), 0, 0, 20) for name in "ab"])
    assert foresight.seconds_left_in_all() == pytest.approx((80 + 80 + 100 + 100) / 2 + 5)


def test_what_is_predicted_together_comes_after_all_trainings() -> None:
    foresight = Foresight()
    foresight.expect([expectation({("train", "a"): 60.0, ("train", "b"): 40.0, ("infer", "a,b"): 30.0})])
    foresight.see([look(("train", name), 0, 0, 20) for name in "ab"])
    assert foresight.seconds_left_in_all() == pytest.approx(40 + 30)


def test_a_step_that_draws_after_what_it_counts_takes_what_was_expected() -> None:
    foresight = Foresight()
    foresight.expect([expectation({("evaluate", ""): 30.0, ("compare", ""): 10.0, ("report", ""): 5.0})])
    foresight.see([look(("evaluate", ""), 2, 10, 1), look(("compare", ""), 0, 4, 1)])
    foresight.see([look(("evaluate", ""), 9, 10, 4), look(("compare", ""), 3, 4, 4)])
    assert foresight.seconds_left_in_all() == pytest.approx(26 + 5)


@pytest.mark.parametrize("record", RECORDED)
def test_time_left_in_a_study_is_within_a_quarter_from_a_fifth_of_the_way_on(record: str) -> None:
    """Or, near the end, within a tenth of the whole."""
    recorded = json.loads(gzip.decompress(Path(__file__).with_name(record).read_bytes()))
    foresight, whole, wrong = Foresight(), recorded["seconds"], []
    foresight.expect(recorded["log"])
    for at, looks in recorded["looks"]:
        foresight.see(StepLook((one[0], one[1]), *one[2:]) for one in looks)
        told = foresight.seconds_left_in_all()
        assert told is not None
        if at >= 0.2 * whole:
            wrong.append(abs(told - (whole - at)) / max(0.25 * (whole - at), 0.1 * whole))
    assert len(wrong) > 20
    assert max(wrong) < 1
