"""Which blocks are suggested: doubtful ones, unlike what is labelled, no two alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.scoring.suggestions import choose, doubts, expected_errors, look_of
from pipeline.volume.geometry import Block

NOTHING = np.empty((0, 2))
NM = (40.0, 8.0, 8.0)


def row(count: int) -> list[Block]:
    return [Block((0, 0, 10 * number), (1, 10, 10 * number + 10)) for number in range(count)]


def test_among_blocks_that_look_different_the_most_doubtful_comes_first() -> None:
    looks = np.array([[0.0, 0.0], [0.0, 5.0], [5.0, 0.0]])
    chosen = choose(row(3), np.array([0.2, 0.9, 0.5]), looks, NOTHING, 3, NM)
    assert chosen[0].block == row(3)[1]
    assert {each.block for each in chosen} == set(row(3))
    assert chosen[0].unlike is None


def test_of_two_that_look_the_same_one_is_enough() -> None:
    looks = np.array([[0.0, 0.0], [0.0, 0.0], [5.0, 0.0]])
    chosen = choose(row(3), np.array([0.9, 0.8, 0.1]), looks, NOTHING, 2, NM)
    assert [each.block for each in chosen] == [row(3)[0], row(3)[2]]


def test_of_neighbours_one_is_enough_though_they_look_different() -> None:
    blocks = [Block((z, 0, 0), (z + 1, 10, 10)) for z in (0, 1, 50)]
    looks = np.array([[0.0, 0.0], [0.0, 5.0], [5.0, 0.0]])
    chosen = choose(blocks, np.array([0.9, 0.8, 0.5]), looks, NOTHING, 2, (4.0, 8.0, 8.0))
    assert [each.block for each in chosen] == [blocks[0], blocks[2]]


def test_what_looks_like_something_labelled_waits() -> None:
    looks = np.array([[0.0, 0.0], [4.0, 0.0]])
    chosen = choose(row(2), np.array([0.9, 0.2]), looks, np.array([[0.0, 0.0]]), 2, NM)
    assert [each.block for each in chosen] == [row(2)[1]]


def test_where_nothing_is_in_doubt_nothing_is_suggested() -> None:
    assert choose(row(3), np.zeros(3), np.eye(3), np.empty((0, 3)), 3, NM) == []
    assert choose([], np.zeros(0), NOTHING, NOTHING, 3, NM) == []


def test_what_is_most_unlike_is_no_better_than_what_is_unlike() -> None:
    looks = np.array([[0.0, 0.0], [0.0, 2.0], [0.0, 3.0], [90.0, 0.0]])
    chosen = choose(row(4), np.array([0.1, 0.5, 0.9, 0.6]), looks, np.array([[0.0, 0.0]]), 1, NM)
    assert [each.block for each in chosen] == [row(4)[2]]


def test_what_is_expected_to_be_lost_is_lost_where_probabilities_are_right() -> None:
    """Truth is drawn from the probabilities; the judge is scikit-learn's macro F1."""
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    p = rng.dirichlet([6.0, 1.0, 0.3], (4, 200, 200)).transpose(3, 0, 1, 2)
    said = p.argmax(axis=0)
    truth = (rng.random(said.shape) > p.cumsum(axis=0)).sum(axis=0)
    marks = np.stack([said == number for number in range(3)])
    errors = np.stack([expected_errors(p[:, [z]], marks[:, [z]]) for z in range(4)])
    sizes = np.stack([(p + marks)[:, z].mean(axis=(1, 2)) for z in range(4)])
    by_class = 1 - errors.sum(axis=0) / sizes.sum(axis=0)
    assert by_class == pytest.approx(f1_score(truth.ravel(), said.ravel(), average=None), abs=0.01)
    shares = errors / sizes.mean(axis=0)
    assert doubts(errors, sizes) == pytest.approx(shares.sum(axis=1) / shares.sum(axis=1).mean())


def test_each_class_counts_alike_however_rare_and_what_is_nowhere_not_at_all() -> None:
    errors, sizes = np.array([[0.1, 0.0, 0.0], [0.0, 0.001, 0.0]]), np.array([[1.0, 0.01, 0.0], [1.0, 0.01, 0.0]])
    assert doubts(errors, sizes) == pytest.approx([1.0, 1.0])
    assert doubts(np.zeros((2, 3)), sizes).tolist() == [0.0, 0.0]
    assert doubts(errors, np.zeros((2, 3))).tolist() == [0.0, 0.0]


def test_a_doubt_that_is_known_better_is_shared_out_by_the_probabilities() -> None:
    p = np.array([0.6, 0.3, 0.1], np.float32).reshape(3, 1, 1, 1)
    said = np.array([True, False, False]).reshape(3, 1, 1, 1)
    assert expected_errors(p, said) == pytest.approx([0.4, 0.3, 0.1])
    doubt = np.full((1, 1, 1), 0.2, np.float32)
    assert expected_errors(p, said, doubt) == pytest.approx([0.2, 0.15, 0.05])
    assert expected_errors(said.astype(np.float32), said, doubt).tolist() == [0, 0, 0]


@given(
    doubt=arrays(np.float64, 12, elements=st.floats(0, 1)),
    looks=arrays(np.float64, (12, 3), elements=st.floats(-5, 5)),
    count=st.integers(1, 15),
)
def test_each_block_is_suggested_once_and_rank_does_not_depend_on_how_many_are_asked_for(
    doubt: np.ndarray, looks: np.ndarray, count: int
) -> None:
    known = np.empty((0, 3))
    every, some = choose(row(12), doubt, looks, known, 12, NM), choose(row(12), doubt, looks, known, count, NM)
    assert len({each.block for each in every}) == len(every)
    assert every[: len(some)] == some
    assert len(some) == min(count, len(every))


def test_a_look_tells_brightness_roughness_and_content_apart() -> None:
    rng = np.random.default_rng(0)
    smooth, rough = np.zeros((1, 16, 16), np.float32), rng.normal(size=(1, 16, 16)).astype(np.float32)
    same = np.array([1.0, 0.0])
    assert not np.allclose(look_of(smooth, same), look_of(smooth + 1, same))
    assert not np.allclose(look_of(smooth, same), look_of(rough, same))
    assert not np.allclose(look_of(smooth, same), look_of(smooth, same[::-1]))
    np.testing.assert_array_equal(look_of(rough, same), look_of(rough, same))
