"""Proves that a confusion volume holds what each voxel is and was taken for, and that its legend says the same."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.figures.palette import confusion_labels, mix
from pipeline.scoring.confusion import ConfusionMatrix, confusion_block, decode

NAMES = ("cytosol", "membrane", "myelin")
COLORS = ("#4477aa", "#ee6677", "#ccbb44")


def random_pair(seed: int, n_classes: int, shape=(3, 4, 5)):
    rng = np.random.default_rng(seed)
    dtype = rng.choice([np.uint8, np.uint16])
    return [rng.integers(0, n_classes + 1, shape).astype(dtype) for _ in range(2)]


@given(seed=st.integers(0, 2**32), n_classes=st.sampled_from([1, 3, 99, 100, 255]))
def test_decoding_brings_back_both_ids_of_every_labelled_voxel(seed, n_classes):
    truth, predicted = random_pair(seed, n_classes)
    values = confusion_block(truth, predicted, n_classes)
    assert values.dtype == np.uint16
    assert values.shape == truth.shape
    found_truth, found_predicted = decode(values, n_classes)
    assert np.array_equal(found_truth, truth)
    assert np.array_equal(found_predicted, np.where(truth > 0, predicted, 0))
    assert np.array_equal(values == 0, truth == 0)


def test_up_to_99_classes_the_number_reads_as_truth_then_prediction():
    truth, predicted = np.array([3, 3, 3, 0, 99], np.uint8), np.array([3, 5, 0, 5, 1], np.uint8)
    assert confusion_block(truth, predicted, 99).tolist() == [303, 305, 300, 0, 9901]


def test_every_value_that_can_occur_has_one_entry_in_the_legend():
    ids = np.arange(len(NAMES) + 1, dtype=np.uint8)
    values = confusion_block(*np.meshgrid(ids, ids), len(NAMES))
    labels = confusion_labels(NAMES, COLORS)
    assert sorted(label.value for label in labels) == np.unique(values[values > 0]).tolist()
    assert len({label.name for label in labels}) == len({label.color for label in labels}) + 2  # white thrice


def test_the_legend_says_in_words_what_the_value_encodes():
    names = {label.value: label.name for label in confusion_labels(NAMES, COLORS)}
    assert names[201] == "membrane taken for cytosol"
    assert names[202] == "membrane found"
    assert names[200] == "membrane not predicted"


def test_what_was_found_is_darker_than_what_was_confused():
    def brightness(color):
        return sum(bytes.fromhex(color[1:]))

    labels = {label.value: label.color for label in confusion_labels(NAMES, COLORS)}
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in labels.values())
    found = [labels[value] for value in (101, 202, 303)]
    others = [color for value, color in labels.items() if value not in (101, 202, 303)]
    assert max(map(brightness, found)) < min(map(brightness, others))


def test_mixing_goes_from_one_colour_to_the_other():
    assert [mix("#000000", "#ff8000", share) for share in (0, 0.5, 1)] == ["#000000", "#804000", "#ff8000"]


@given(seed=st.integers(0, 2**32))
def test_a_volume_counts_to_the_same_matrix_as_its_ids(seed):
    truth, predicted = random_pair(seed, len(NAMES))
    direct, decoded = ConfusionMatrix(NAMES), ConfusionMatrix(NAMES)
    direct.update(truth, predicted)
    decoded.update(*decode(confusion_block(truth, predicted, len(NAMES)), len(NAMES)))
    assert direct == decoded


@pytest.mark.parametrize(
    ("truth", "predicted", "n_classes"),
    [([4], [1], 3), ([1], [4], 3), ([1, 2], [1], 3), ([1], [1], 256), ([1], [1], 0)],
)
def test_ids_shapes_and_class_counts_that_do_not_fit_are_refused(truth, predicted, n_classes):
    with pytest.raises(InputError):
        confusion_block(np.array(truth), np.array(predicted), n_classes)
