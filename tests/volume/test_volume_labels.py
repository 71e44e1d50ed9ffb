"""Ids and masks become stored class ids exactly as the class map says, and what contradicts it is named.

A dictionary, voxel by voxel, is the judge.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.errors import ConfigError, DataError
from pipeline.volume.labels import ClassMap

RED = "#ff0000"
OVERLAPPING = ClassMap(("cell", "organelle"), (RED, RED), ((1, 2), (2,)), (9,), exclusive=False)

label_arrays = arrays.arrays(
    st.sampled_from([np.uint8, np.uint16, np.int32, np.uint64, np.float32]),
    arrays.array_shapes(min_dims=3, max_dims=3, max_side=6),
    elements=st.sampled_from([0, 1, 2, 3, 9]),
)


@given(label_arrays)
def test_ids_are_merged_into_classes(data: np.ndarray) -> None:
    classes = ClassMap(("a", "b", "c"), (RED, RED, RED), ((1, 2), (3,), (0,)), (9,))
    code_of = {1: 1, 2: 1, 3: 2, 0: 3, 9: 0}
    stored = classes.encode(data, "labels.tif")
    assert stored.dtype == np.uint8
    assert stored.tolist() == [[[code_of[int(i)] for i in row] for row in plane] for plane in data]
    assert classes.count(stored).tolist() == [np.count_nonzero(stored == code) for code in range(4)]


LARGE = [2**53, 2**53 + 1, 720575940379279311, 2**63 - 1]


@pytest.mark.parametrize("dtype", [np.uint64, np.int64, ">u8"])
@pytest.mark.parametrize("ignored", [0, 2**64 - 1, 2**63])
def test_ids_above_53_bits_are_told_apart(dtype: np.dtype, ignored: int) -> None:
    # NumPy compares int64 with uint64 as float64, which has 53 bits.
    known = [*LARGE, *([ignored] if np.iinfo(dtype).max >= ignored else [])]
    classes = ClassMap(("a", "b", "c", "d"), (RED,) * 4, tuple((i,) for i in LARGE), (ignored,))
    assert classes.encode(np.array(known, dtype), "labels").tolist() == [1, 2, 3, 4, 0][: len(known)]
    with pytest.raises(DataError, match=r"labels: ids 9007199254740991 \(1 voxels\), 9007199254740994 \(2 voxels\) be"):
        classes.encode(np.array([2**53 + 2, 2**53 - 1, 2**53 + 2, 2**53], dtype), "labels")


def test_ids_that_the_type_cannot_hold_are_in_no_voxel() -> None:
    classes = ClassMap(("a", "b"), (RED, RED), ((300,), (2**64 - 1,)))
    with pytest.raises(DataError, match=r"ids 44 \(1 voxels\), 255 \(1 voxels\) belong"):
        classes.encode(np.array([44, 255], np.uint8), "labels")
    with pytest.raises(DataError, match=r"ids -1 \(1 voxels\) belong"):
        classes.encode(np.array([300, -1], np.int64), "labels")


def test_floats_that_are_ids_of_64_bits_are_taken_and_larger_ones_refused() -> None:
    classes = ClassMap(("a", "b"), (RED, RED), ((2**63,), (2,)))
    assert classes.encode(np.array([2.0**63, 2]), "labels").tolist() == [1, 2]
    for wrong in (2.0**64, -(2.0**64)):
        with pytest.raises(DataError, match="hold values that are no ids"):
            classes.encode(np.array([wrong]), "labels")


def test_ids_of_overlapping_classes_become_bits() -> None:
    stored = OVERLAPPING.encode(np.array([1, 2, 9]), "labels.tif")
    assert stored.dtype == np.uint32
    assert stored.tolist() == [0b011, 0b111, 0]
    assert OVERLAPPING.count(stored).tolist() == [1, 2, 1]


def test_more_classes_than_a_byte_holds_take_two() -> None:
    names = tuple(f"class {i}" for i in range(300))
    classes = ClassMap(names, (RED,) * 300, tuple((i,) for i in range(300)))
    assert classes.encode(np.array([299]), "x").tolist() == [300]


def test_unknown_ids_are_listed_with_their_number_of_voxels(classes: ClassMap) -> None:
    with pytest.raises(DataError, match=r"labels\.tif.*\b7 \(2 voxels\).*\b300 \(1 voxels\)"):
        classes.encode(np.array([[[0, 7, 300, 7]]], np.uint16), "labels.tif")


@pytest.mark.parametrize("data", [np.array([0.5]), np.array([np.nan]), np.array([1 + 0j])])
def test_values_that_are_no_ids_are_refused(classes: ClassMap, data: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"labels\.tif"):
        classes.encode(data, "labels.tif")


@given(arrays.arrays(np.bool_, (2, 3, 4, 5)))
def test_masks_of_overlapping_classes_are_decoded_to_themselves(masks: np.ndarray) -> None:
    stored = OVERLAPPING.encode_masks(list(masks), "masks")
    decoded, valid = OVERLAPPING.decode(stored)
    np.testing.assert_array_equal(decoded, masks)
    assert valid.all(), "a voxel in no mask is labelled as none of the classes"


@given(arrays.arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 3)))
def test_masks_of_exclusive_classes_are_decoded_to_themselves(stored: np.ndarray) -> None:
    classes = ClassMap(("a", "b", "c"), (RED, RED, RED), ((), (), ()))
    masks, valid = classes.decode(stored)
    np.testing.assert_array_equal(classes.encode_masks([mask * 255 for mask in masks], "masks"), stored)
    np.testing.assert_array_equal(valid, stored > 0)


def test_a_class_that_fills_takes_what_is_in_no_mask(classes: ClassMap) -> None:
    one, other = np.array([[[1, 0, 0]]]), np.array([[[0, 1, 0]]])
    assert classes.encode_masks([one, other, None], "masks").tolist() == [[[1, 2, 3]]]
    assert classes.encode_masks([one, None, other], "masks").tolist() == [[[1, 3, 2]]]


def test_overlapping_masks_of_exclusive_classes_are_refused(classes: ClassMap) -> None:
    masks = [np.array([1, 1, 0, 0]), np.array([0, 1, 1, 0]), np.array([0, 0, 0, 1])]
    with pytest.raises(DataError, match=r"slice 4.*'membrane' and 'vesicle'.* 1 voxels"):
        classes.encode_masks(masks, "masks, slice 4")


@pytest.mark.parametrize(
    "changed",
    [
        {"names": ()},
        {"names": ("a", "a")},
        {"colors": ("#ff0000",)},
        {"colors": ("red", RED)},
        {"ids": ((1,), (1,))},
        {"ignore_ids": (1,)},
        {"exclusive": False, "ignore_ids": (1,)},
        {"exclusive": False, "names": tuple(map(str, range(32))), "colors": (RED,) * 32, "ids": ((),) * 32},
    ],
)
def test_a_class_map_that_contradicts_itself_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ClassMap(**{"names": ("a", "b"), "colors": (RED, RED), "ids": ((1,), (2,))} | changed)  # type: ignore[arg-type]


def test_one_id_may_mean_several_overlapping_classes() -> None:
    assert OVERLAPPING.label_classes == ((2, "cell", RED), (4, "organelle", RED))


PARTLY = ClassMap(("dark", "grey", "bright"), ("#000000",) * 3, ((1,), (2,), (3,)), (9,), unlabelled=(1, 3))


def test_ids_of_classes_that_labels_do_not_name_and_zero_may_be_any_of_them() -> None:
    assert PARTLY.encode(np.array([0, 1, 2, 3, 9]), "labels").tolist() == [4, 4, 2, 4, 0]
    with pytest.raises(DataError, match=r"ids 5 \(1 voxels\) belong to no class"):
        PARTLY.encode(np.array([5]), "labels")
    assert PARTLY.encode_masks([np.array([0, 1])], "mask").tolist() == [4, 2]
    assert PARTLY.count(np.array([4, 4, 2, 0])).tolist() == [1, 0, 1, 0]
    assert replace(PARTLY, ignore_ids=(0,)).encode(np.array([0, 2]), "labels").tolist() == [0, 2]


def test_overlapping_labels_say_nothing_of_classes_that_they_do_not_name() -> None:
    overlapping = replace(PARTLY, exclusive=False)
    assert overlapping.encode(np.array([0, 1, 2, 9]), "labels").tolist() == [1, 1, 5, 0]
    assert overlapping.encode_masks([np.array([0, 1])], "mask").tolist() == [1, 5]
