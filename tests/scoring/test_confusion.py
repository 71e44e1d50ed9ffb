"""Proves that the counts are exact, do not depend on how a volume is cut, and give scikit-learn's scores.

scikit-learn's own conventions are compared in the open: our scores are its scores with `zero_division=nan`.
Speed is measured by the benchmarks, not here.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import contingency_table
from sklearn import metrics

from pipeline.errors import DataError, InputError
from pipeline.scoring import confusion as module
from pipeline.scoring.confusion import (
    BinaryConfusion,
    ClasswiseConfusion,
    ConfusionMatrix,
    confusion_from_json,
    one_vs_rest_ids,
)
from pipeline.scoring.scores import MEASURES

NAMES = ("cytosol", "synapses", "mitochondria", "membrane")
IDS = range(1, len(NAMES) + 1)


def random_ids(seed: int, shape=(5, 6, 7), n_classes=4, lowest=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(lowest, n_classes + 1, shape).astype(dtype)


def random_bits(seed: int, shape=(5, 6, 7), n_classes=4):
    return np.random.default_rng(seed).integers(0, 2 << n_classes, shape, dtype=np.uint32)


def matrix_of(truth, predicted, names=NAMES) -> ConfusionMatrix:
    matrix = ConfusionMatrix(names)
    matrix.update(truth, predicted)
    return matrix


def classwise_of(truth_bits, predicted_bits, names=NAMES) -> ClasswiseConfusion:
    counts = ClasswiseConfusion.empty(names)
    counts.update(truth_bits, predicted_bits)
    return counts


def as_nan(value: float | None) -> float:
    return math.nan if value is None else value


# --- exclusive classes ---


@given(seed=st.integers(0, 2**32), dtype=st.sampled_from([np.uint8, np.uint16, np.int64]))
def test_counts_are_scikit_learns_with_a_column_for_what_was_not_predicted(seed, dtype):
    truth, predicted = random_ids(seed, dtype=dtype), random_ids(seed + 1, dtype=dtype)
    labelled = truth > 0
    # scikit-learn's row 0 would hold truth 0, which we ignore.
    expected = metrics.confusion_matrix(truth[labelled], predicted[labelled], labels=[0, *IDS])[1:]
    assert np.array_equal(matrix_of(truth, predicted).counts, expected)


@given(seed=st.integers(0, 2**32))
def test_counts_are_scikit_images_contingency_table(seed):
    truth, predicted = random_ids(seed, shape=(9, 9, 9)), random_ids(seed + 1, shape=(9, 9, 9))
    expected = contingency_table(truth, predicted).toarray()[1:]
    assert np.array_equal(matrix_of(truth, predicted).counts, expected)


@given(seed=st.integers(0, 2**32), present=st.sets(st.sampled_from(IDS), min_size=1))
def test_scores_are_scikit_learns_with_zero_division_nan(seed, present):
    """Some classes are absent from the truth, some from the prediction, some from both."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([0, *present], 200).astype(np.uint8)
    predicted = rng.choice(rng.choice(IDS, 2), 200).astype(np.uint8)
    scores = matrix_of(truth, predicted).scores()
    kept = truth > 0
    if not kept.any():
        return
    arguments = {"labels": list(IDS), "zero_division": np.nan}
    precision, recall, f1, support = metrics.precision_recall_fscore_support(truth[kept], predicted[kept], **arguments)
    assert [c.support for c in scores.classes] == support.tolist()
    np.testing.assert_allclose([as_nan(c.precision) for c in scores.classes], precision)
    np.testing.assert_allclose([as_nan(c.recall) for c in scores.classes], recall)
    np.testing.assert_allclose([as_nan(c.f1) for c in scores.classes], f1)
    for ours, average in ((scores.macro, "macro"), (scores.weighted, "weighted")):
        theirs = metrics.precision_recall_fscore_support(truth[kept], predicted[kept], average=average, **arguments)
        np.testing.assert_allclose([as_nan(ours.recall), as_nan(ours.f1)], theirs[1:3])
        if ours.precision is not None or average == "macro":
            assert as_nan(ours.precision) == pytest.approx(theirs[0], nan_ok=True)
        else:
            assert all(c.support == 0 for c in scores.classes if c.precision is not None)
    assert scores.accuracy == pytest.approx(metrics.accuracy_score(truth[kept], predicted[kept]))


@given(seed=st.integers(0, 2**32))
def test_iou_is_scikit_learns_jaccard_score(seed):
    truth, predicted = random_ids(seed, lowest=1).ravel(), random_ids(seed + 1, lowest=1).ravel()
    scores = matrix_of(truth, predicted).scores()
    np.testing.assert_allclose(
        [c.iou for c in scores.classes],
        metrics.jaccard_score(truth, predicted, labels=list(IDS), average=None),
    )
    for ours, average in ((scores.macro, "macro"), (scores.weighted, "weighted")):
        assert ours.iou == pytest.approx(metrics.jaccard_score(truth, predicted, average=average))


def test_scikit_learns_default_differs_only_for_classes_that_nobody_saw():
    """Its default counts an absent class as F1 0 in the macro average; ours leaves it out and says so."""
    truth, predicted = np.array([1, 1, 2, 2], np.uint8), np.array([1, 1, 2, 1], np.uint8)
    scores = matrix_of(truth, predicted).scores()
    theirs = metrics.f1_score(truth, predicted, labels=list(IDS), average=None, zero_division=0)
    assert scores.undefined == NAMES[2:]
    assert scores.macro.f1 == pytest.approx(theirs[:2].mean())
    assert theirs[2:].tolist() == [0, 0]


def test_a_class_missed_altogether_and_a_class_invented_score_zero_not_none():
    truth, predicted = np.array([1, 1, 2], np.uint8), np.array([1, 1, 3], np.uint8)
    scores = matrix_of(truth, predicted).scores()
    missed, invented = scores.classes[1], scores.classes[2]
    assert (missed.f1, missed.recall, missed.precision) == (0, 0, None)
    assert (invented.f1, invented.recall, invented.precision) == (0, None, 0)
    assert scores.macro.f1 == pytest.approx((1 + 0 + 0) / 3)


def test_what_was_not_predicted_costs_recall_and_accuracy_but_nobodys_precision():
    truth, predicted = np.array([1, 1, 2, 2], np.uint8), np.array([1, 0, 2, 2], np.uint8)
    scores = matrix_of(truth, predicted).scores()
    assert (scores.classes[0].recall, scores.classes[0].precision) == (0.5, 1)
    assert (scores.classes[1].recall, scores.classes[1].precision) == (1, 1)
    assert scores.accuracy == 0.75


def test_unlabelled_voxels_change_nothing_and_an_empty_truth_has_no_scores():
    truth, predicted = random_ids(1, lowest=1), random_ids(2)
    padding = np.zeros_like(truth)
    alone = matrix_of(truth, predicted)
    padded = matrix_of(np.concatenate([truth, padding]), np.concatenate([predicted, predicted]))
    assert alone == padded
    empty = matrix_of(padding, predicted).scores()
    assert (empty.accuracy, empty.macro.f1, empty.weighted.f1) == (None, None, None)
    assert empty.undefined == NAMES
    assert all(c.share is None for c in empty.classes)


def test_shares_are_of_the_labelled_voxels():
    matrix = matrix_of(np.array([0, 1, 1, 1, 2], np.uint8), np.ones(5, np.uint8))
    assert [c.share for c in matrix.scores().classes] == [0.75, 0.25, 0, 0]


@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(0, 210), max_size=5), order=st.randoms())
def test_any_partition_in_any_order_merges_to_the_whole(seed, cuts, order):
    truth, predicted = random_ids(seed).ravel(), random_ids(seed + 1).ravel()
    parts = list(zip(np.split(truth, sorted(cuts)), np.split(predicted, sorted(cuts)), strict=True))
    order.shuffle(parts)
    merged = sum((matrix_of(*part) for part in parts), ConfusionMatrix(NAMES))
    streamed = ConfusionMatrix(NAMES)
    for part in parts:
        streamed.update(*part)
    assert merged == streamed == matrix_of(truth, predicted)


@given(seed=st.integers(0, 2**32), ranks=st.permutations(range(len(NAMES))))
def test_renaming_the_classes_permutes_the_scores(seed, ranks):
    truth, predicted = random_ids(seed), random_ids(seed + 1)
    new_id = np.array([0, *(r + 1 for r in ranks)], np.uint8)
    before = matrix_of(truth, predicted).scores()
    after = matrix_of(new_id[truth], new_id[predicted]).scores()
    for old, rank in zip(before.classes, ranks, strict=True):
        assert old.f1 == after.classes[rank].f1
    assert after.macro.f1 == pytest.approx(before.macro.f1)
    assert after.weighted.f1 == pytest.approx(before.weighted.f1)


@pytest.mark.parametrize("n_classes", [1, 15, 16, 255])
def test_every_number_of_classes_up_to_the_last_counts_right(n_classes):
    """15 classes are the last whose pairs fit one byte, 255 the last whose pairs fit two."""
    truth, predicted = random_ids(0, n_classes=n_classes), random_ids(1, n_classes=n_classes)
    truth.flat[0] = predicted.flat[0] = n_classes
    names = [f"class {i}" for i in range(n_classes)]
    labelled = truth > 0
    expected = metrics.confusion_matrix(truth[labelled], predicted[labelled], labels=list(range(n_classes + 1)))
    assert np.array_equal(matrix_of(truth, predicted, names).counts, expected[1:])


def test_blocks_larger_than_one_piece_and_strided_views_count_right(monkeypatch):
    monkeypatch.setattr(module, "_PIECE_VOXELS", 16)
    truth, predicted = random_ids(3, (9, 8, 7)), random_ids(4, (9, 8, 7))
    bits = random_bits(5, (9, 8, 7)), random_bits(6, (9, 8, 7))
    sliced, bit_sliced = matrix_of(truth[::2, :, 1:], predicted[::2, :, 1:]), [b[:, ::-1] for b in bits]
    classwise = classwise_of(*bit_sliced)
    monkeypatch.undo()
    assert sliced == matrix_of(truth[::2, :, 1:].copy(), predicted[::2, :, 1:].copy())
    assert classwise == classwise_of(*bits)


def test_counts_beyond_32_bits_stay_exact():
    many = 2**40 + 1
    matrix = ConfusionMatrix(("a", "b"), np.array([[0, many, 1], [0, 0, many]]))
    total = matrix + matrix
    assert total.counts.tolist() == [[0, 2 * many, 2], [0, 0, 2 * many]]
    assert confusion_from_json(json.loads(json.dumps(total.to_json()))) == total


# --- one against the rest, and overlapping classes ---


def one_class(truth, predicted, *, labelled, covered) -> BinaryConfusion:
    """Counts of one class that may overlap others, from masks."""
    counts = ClasswiseConfusion.empty(("it",))
    bits = [(known | of_class << 1).astype(np.uint32) for known, of_class in ((labelled, truth), (covered, predicted))]
    counts.update(*bits)
    return counts.by_class["it"]


@given(seed=st.integers(0, 2**32))
def test_each_class_of_a_matrix_against_the_rest_is_the_count_of_its_masks(seed):
    truth, predicted = random_ids(seed), random_ids(seed + 1)
    collapsed = matrix_of(truth, predicted).one_vs_rest()
    for class_id, name in enumerate(NAMES, start=1):
        counts = one_class(truth == class_id, predicted == class_id, labelled=truth > 0, covered=predicted > 0)
        assert counts == collapsed.by_class[name]
        assert counts.voxels == np.count_nonzero(truth)


@given(seed=st.integers(0, 2**32))
def test_binary_counts_are_scikit_learns_where_all_is_labelled_and_predicted(seed):
    truth, predicted = (random_ids(seed + i, n_classes=1).astype(bool) for i in (0, 1))
    counts = one_class(truth, predicted, labelled=np.ones_like(truth), covered=np.ones_like(truth))
    expected = metrics.confusion_matrix(truth.ravel(), predicted.ravel(), labels=[False, True])
    assert [[counts.tn, counts.fp], [counts.fn, counts.tp]] == expected.tolist()
    assert counts.accuracy == pytest.approx(metrics.accuracy_score(truth.ravel(), predicted.ravel()))
    f1 = metrics.f1_score(truth.ravel(), predicted.ravel(), zero_division=np.nan)
    assert as_nan(counts.scores("x").f1) == pytest.approx(f1, nan_ok=True)


@given(seed=st.integers(0, 2**32))
def test_overlapping_scores_are_scikit_learns_multilabel_ones(seed):
    truth, predicted = random_bits(seed) | 1, random_bits(seed + 1) | 1
    indicators = [np.stack([bits.ravel() >> k & 1 for k in IDS], axis=1) for bits in (truth, predicted)]
    scores = classwise_of(truth, predicted).scores()
    for ours, average in ((scores.macro, "macro"), (scores.weighted, "weighted")):
        theirs = metrics.f1_score(*indicators, average=average, zero_division=np.nan)
        assert ours.f1 == pytest.approx(theirs)
    expected = metrics.multilabel_confusion_matrix(*indicators)
    counts = classwise_of(truth, predicted).by_class.values()
    assert [[[c.tn, c.fp], [c.fn, c.tp]] for c in counts] == expected.tolist()


@given(seed=st.integers(0, 2**32))
def test_bits_of_unlabelled_and_of_uncovered_voxels_count_as_a_plain_loop_says(seed):
    truth, predicted = random_bits(seed, (3, 4, 5)), random_bits(seed + 1, (3, 4, 5))
    plain = {name: BinaryConfusion() for name in NAMES}
    for t, p in zip(truth.ravel().tolist(), predicted.ravel().tolist(), strict=True):
        for k, name in enumerate(NAMES, start=1):
            is_class, seen, covered = bool(t >> k & 1), bool(p >> k & 1), bool(p & 1)
            if not t & 1:
                continue
            plain[name].tp += is_class and seen and covered
            plain[name].fn += is_class and not (seen and covered)
            plain[name].fp += not is_class and seen and covered
            plain[name].not_predicted += not is_class and not covered
            plain[name].tn += not is_class and not seen and covered
    assert classwise_of(truth, predicted).by_class == plain


@given(seed=st.integers(0, 2**32), cut=st.integers(0, 210))
def test_overlapping_counts_merge_over_any_cut(seed, cut):
    truth, predicted = random_bits(seed).ravel(), random_bits(seed + 1).ravel()
    parts = classwise_of(truth[:cut], predicted[:cut]) + classwise_of(truth[cut:], predicted[cut:])
    assert parts == classwise_of(truth, predicted)


@given(seed=st.integers(0, 2**32))
def test_exclusive_classes_written_as_bits_score_the_same(seed):
    truth, predicted = random_ids(seed), random_ids(seed + 1)
    bits = [np.where(ids > 0, 1 | 1 << ids.astype(np.uint32), 0).astype(np.uint32) for ids in (truth, predicted)]
    assert classwise_of(*bits) == matrix_of(truth, predicted).one_vs_rest()


@given(seed=st.integers(0, 2**32), class_id=st.sampled_from(IDS))
def test_one_overlapping_class_as_ids_counts_like_its_bits(seed, class_id):
    truth, predicted = random_bits(seed), random_bits(seed + 1)
    matrix = matrix_of(one_vs_rest_ids(truth, class_id), one_vs_rest_ids(predicted, class_id), ("it", "rest"))
    name = NAMES[class_id - 1]
    assert matrix.one_vs_rest().by_class["it"] == classwise_of(truth, predicted).by_class[name]


def test_31_overlapping_classes_use_every_bit():
    names = [f"class {k}" for k in range(1, 32)]
    counts = classwise_of(np.full(3, 0xFFFFFFFF, np.uint32), np.full(3, 0xFFFFFFFF, np.uint32), names)
    assert [c.tp for c in counts.by_class.values()] == [3] * 31


# --- JSON and bad input ---


@given(seed=st.integers(0, 2**32))
@settings(max_examples=20)
def test_json_brings_back_equal_counts_and_scores(seed):
    matrix = matrix_of(random_ids(seed), random_ids(seed + 1))
    classwise = classwise_of(random_bits(seed), random_bits(seed + 1))
    for counts in (matrix, classwise):
        back = confusion_from_json(json.loads(json.dumps(counts.to_json())))
        assert back == counts
        assert back.scores() == counts.scores()


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"kind": "fuzzy"},
        {"kind": "exclusive", "classes": ["a"], "counts": [[1, 2, 3]]},
        {"kind": "exclusive", "classes": ["a"], "counts": [[-1, 2]]},
        {"kind": "exclusive", "classes": ["a"], "counts": "many"},
        {"kind": "classwise", "classes": {"a": {"tp": 1, "half": 2}}},
        {"kind": "classwise", "classes": ["a"]},
    ],
)
def test_json_that_holds_no_counts_is_refused(data):
    with pytest.raises(DataError):
        confusion_from_json(data)


def test_an_id_that_is_no_class_is_named_with_the_side_it_is_on():
    good, bad = np.ones((2, 3, 4), np.uint8), np.full((2, 3, 4), 9, np.uint8)
    with pytest.raises(InputError, match="truth holds class id 9"):
        ConfusionMatrix(NAMES).update(bad, good)
    with pytest.raises(InputError, match="prediction holds class id -2"):
        ConfusionMatrix(NAMES).update(good, np.full((2, 3, 4), -2))
    with pytest.raises(InputError, match="prediction has bit 5"):
        ClasswiseConfusion.empty(NAMES).update(good.astype(np.uint32), np.full((2, 3, 4), 1 << 5, np.uint32))


def test_a_refused_block_leaves_the_counts_as_they_were():
    matrix = matrix_of(random_ids(0), random_ids(1))
    before = matrix + ConfusionMatrix(NAMES)
    with pytest.raises(InputError):
        matrix.update(random_ids(0), random_ids(1) + 9)
    assert matrix == before


@pytest.mark.parametrize(
    "update",
    [
        lambda: ConfusionMatrix(NAMES).update(np.ones((2, 2), np.uint8), np.ones((2, 3), np.uint8)),
        lambda: ConfusionMatrix(NAMES).update(np.ones(2), np.ones(2)),
        lambda: ClasswiseConfusion.empty(NAMES).update(np.ones(2, np.uint8), np.ones(2, np.uint8)),
        lambda: ClasswiseConfusion.empty(NAMES).update(np.ones(2, np.uint32), np.ones(3, np.uint32)),
    ],
)
def test_arrays_of_another_shape_or_type_are_refused(update):
    with pytest.raises(InputError):
        update()


@pytest.mark.parametrize("names", [(), ("a", "a"), [f"class {i}" for i in range(256)]])
def test_class_names_that_cannot_be_told_apart_or_counted_are_refused(names):
    with pytest.raises(InputError):
        ConfusionMatrix(names)


def test_counts_of_other_classes_do_not_add_up():
    with pytest.raises(InputError):
        ConfusionMatrix(("a", "b")) + ConfusionMatrix(("b", "a"))
    with pytest.raises(InputError):
        ClasswiseConfusion.empty(("a", "b")) + ClasswiseConfusion.empty(("a",))


def test_every_measure_has_a_value_by_name():
    scores = matrix_of(random_ids(0), random_ids(1)).scores()
    for measure in MEASURES:
        assert scores.macro.value(measure) == getattr(scores.macro, measure)
