"""Classes from ids and masks: what is background, what is ignored, what nobody labelled; colours that differ."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from fingerprints import stack_of, stack_of_masks

from pipeline.config.colors import class_color
from pipeline.errors import InputError
from pipeline.figures.palette import CONFUSED, INVENTED, MISSED
from pipeline.formats import percent_phrase
from pipeline.proposal.classes import ignored_by_custom, propose_classes, unlabelled_slices


def test_one_class_beside_the_background_is_named_by_its_labels() -> None:
    ids = np.zeros((4, 30, 40), np.uint8)
    ids[:, 5:10, 5:20] = 255
    proposed = propose_classes([stack_of(ids, labels="em/train/mito_labels")])
    assert [(each.name, each.ids) for each in proposed.members] == [("background", (0,)), ("mito", (255,))]
    assert proposed.exclusive
    assert proposed.members[1].share == pytest.approx(75 / 1200)
    assert propose_classes([stack_of(ids, labels="labels/0001")]).members[1].name == "object"


def test_255_beside_small_ids_is_ignored_and_is_a_class_otherwise() -> None:
    rng = np.random.default_rng(0)
    proposed = propose_classes([stack_of(rng.choice([0, 1, 2, 255], (3, 20, 20)))])
    assert proposed.ignore_ids == (255,)
    assert [each.name for each in proposed.members] == ["background", "class_1", "class_2"]
    assert any("255" in reason for reason in proposed.why)
    assert ignored_by_custom([0, 32, 64, 255]) is None
    assert ignored_by_custom([0, 255]) is None
    assert ignored_by_custom([253, 254, 255]) is None


def test_many_ids_are_objects_of_one_class() -> None:
    ids = np.arange(4 * 10 * 10).reshape(4, 10, 10) % 60
    proposed = propose_classes([stack_of(ids, objects=True)])
    assert [each.name for each in proposed.members] == ["background", "object"]
    assert proposed.members[1].ids == tuple(range(1, 60))
    assert "if they are shades" in proposed.doubts[0]
    apart = propose_classes([stack_of(1000 * ids, objects=True)])
    assert not apart.doubts


def test_an_object_that_nobody_labelled_is_left_out() -> None:
    """An id is of a class or ignored: a configuration with both is refused."""
    ids = np.arange(4 * 10 * 10).reshape(4, 10, 10) % 60
    proposed = propose_classes([stack_of(1000 * ids, objects=True)], ignored=[59000])
    assert proposed.members[1].ids == tuple(range(1000, 59000, 1000))
    assert proposed.ignore_ids == (59000,)
    assert not proposed.doubts
    assert propose_classes([stack_of(ids, objects=True)], ignored=[1]).members[1].ids == tuple(range(2, 60))


def test_an_ignored_id_that_no_voxel_has_is_told() -> None:
    stacks = [stack_of(np.random.default_rng(0).choice([0, 1, 2, 255], (3, 20, 20)))]
    for given in (None, {"cell": [1]}):
        assert "--ignore: no voxel has the id 254" in propose_classes(stacks, given, ignored=[0, 254]).doubts
        assert not any("--ignore: no" in doubt for doubt in propose_classes(stacks, given, ignored=[0, 255]).doubts)


def test_ids_of_no_given_class_are_the_background() -> None:
    """Who names one class of densely labelled data has labelled the rest: it is what the class is not."""
    ids = np.random.default_rng(0).choice([0, 32, 64, 255], (3, 20, 20))
    proposed = propose_classes([stack_of(ids)], {"cell": [64]})
    assert [(each.name, each.ids) for each in proposed.members] == [("background", (0, 32, 255)), ("cell", (64,))]
    assert proposed.ignore_ids == ()
    (doubt,) = proposed.doubts
    assert percent_phrase(float(np.isin(ids, [0, 32, 255]).mean())) in doubt
    assert "--ignore 0,32,255" in doubt
    named = propose_classes([stack_of(ids)], {"cell": [64], "background": [0, 255]})
    assert [(each.name, each.ids) for each in named.members] == [("background", (0, 255, 32)), ("cell", (64,))]
    assert "32 (" in named.doubts[0]


def test_ids_that_nobody_labelled_are_neither_a_class_nor_the_background() -> None:
    ids = np.random.default_rng(0).choice([0, 32, 64, 255], (3, 20, 20))
    proposed = propose_classes([stack_of(ids)], {"membrane": [0, 32], "cell": [255]}, ignored=[64])
    assert [(each.name, each.ids) for each in proposed.members] == [("membrane", (0, 32)), ("cell", (255,))]
    assert proposed.ignore_ids == (64,)
    assert f"64 ({percent_phrase(float((ids == 64).mean()))} of the voxels)" in proposed.why[-1]
    assert not proposed.doubts
    odd = propose_classes([stack_of(np.random.default_rng(0).choice([0, 1, 2, 255], (3, 20, 20)))], {"cell": [1]})
    assert [(each.name, each.ids) for each in odd.members] == [("background", (0, 2)), ("cell", (1,))]
    assert odd.ignore_ids == (255,)
    assert any("--class background=0,2,255" in doubt for doubt in odd.doubts)


def test_classes_given_amiss_are_refused_with_a_cure() -> None:
    stacks = [stack_of(np.random.default_rng(0).choice([0, 32, 64, 255], (3, 20, 20)))]
    with pytest.raises(InputError, match=r"nothing to tell apart; name another of 0, 32, 64, or ignore less$"):
        propose_classes(stacks, {"cell": [255]}, ignored=[0, 32, 64])
    with pytest.raises(InputError, match=r"nothing to tell apart; name another$"):
        propose_classes(stacks, {"cell": [0, 32, 64, 255]})
    with pytest.raises(InputError, match="the id 32 is given twice"):
        propose_classes(stacks, {"membrane": [0, 32], "cell": [255, 32]})
    with pytest.raises(InputError, match="--ignore 32: the id is that of a class"):
        propose_classes(stacks, {"membrane": [0, 32], "cell": [255]}, ignored=[32])
    with pytest.raises(InputError, match=r"id 7; the labels hold 0, 32, 64, 255"):
        propose_classes(stacks, {"membrane": [7]})
    with pytest.raises(InputError, match=r"59 ids, which are single objects"):
        propose_classes([stack_of(np.arange(400).reshape(4, 10, 10) % 60, objects=True)], {"cell": [1]})


def test_masks_overlap_or_leave_a_background() -> None:
    cell, core, apart = (np.zeros((2, 10, 10), bool) for _ in range(3))
    cell[:, 2:8, 2:8] = core[:, 4:6, 4:6] = apart[:, :2] = True
    overlapping = propose_classes([stack_of_masks({"cell": cell, "core": core})])
    assert not overlapping.exclusive
    assert [each.name for each in overlapping.members] == ["cell", "core"]
    exclusive = propose_classes([stack_of_masks({"cell": cell, "apart": apart})])
    assert exclusive.exclusive
    assert [(each.name, each.fill) for each in exclusive.members] == [
        ("background", True),
        ("cell", False),
        ("apart", False),
    ]
    for settings in ({"given": {"cell": [1]}}, {"ignored": [255]}):
        with pytest.raises(InputError, match="are for labels of ids"):
            propose_classes([stack_of_masks({"cell": cell, "apart": apart})], **settings)
    with pytest.raises(InputError, match="mask of 'core' is empty"):
        propose_classes([stack_of_masks({"cell": cell, "core": np.zeros_like(core)})])


def test_classes_that_no_configuration_takes_are_refused_with_a_cure() -> None:
    several = (np.arange(4 * 40 * 40) % 41).reshape(4, 40, 40)
    masks = {f"c{number}": several == number for number in range(31)}
    with pytest.raises(InputError, match="32 classes, and at most 31 can be told apart; leave some masks out"):
        propose_classes([stack_of_masks(masks)])
    halves = [stack_of(several * (several <= 20)), stack_of(several * (several > 20))]
    with pytest.raises(InputError, match=r"41 classes, .*--class name=1,2"):
        propose_classes(halves)
    first, second = several == 1, several == 2
    for name in ("multilabel", "merged"):
        with pytest.raises(InputError, match=f"called {name}, which means .*; rename the mask"):
            propose_classes([stack_of_masks({name: first, "b": second})])
        with pytest.raises(InputError, match=f"called {name}, which means .*; take another name: --class"):
            propose_classes([stack_of(several % 3)], {name: [1]})
    with pytest.raises(InputError, match="is called background, and so is what is of no class"):
        propose_classes([stack_of_masks({"background": first, "b": second})])
    with pytest.raises(InputError, match=r"no id that is not ignored; .*: ignore less"):
        propose_classes([stack_of(several % 3)], None, [0, 1, 2])


def test_nothing_to_tell_apart_is_said() -> None:
    with pytest.raises(InputError, match="the id 3 and no other"):
        propose_classes([stack_of(np.full((2, 8, 8), 3))])


def test_labels_that_stop_at_once_are_missing_and_those_that_fade_are_not() -> None:
    ids = np.zeros((10, 40, 40), np.uint8)
    ids[3:7, 10:30, 10:30] = 1
    assert unlabelled_slices(stack_of(ids)) == [0, 1, 2, 7, 8, 9]
    for step, z in enumerate((2, 1, 0)):  # an object that grows thin
        ids[z, 10 : 24 - 6 * step, 10 : 24 - 6 * step] = 1
        ids[9 - z, 10 : 24 - 6 * step, 10 : 24 - 6 * step] = 1
    ids[0] = ids[9] = 0
    assert unlabelled_slices(stack_of(ids)) == []


def seen_by(color: str, matrix: np.ndarray) -> np.ndarray:
    """A colour as one with that colour blindness sees it, in linear light."""
    part = np.array(list(bytes.fromhex(color[1:]))) / 255
    return matrix @ np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


# G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, IEEE Transactions on Visualization and Computer Graphics 15 (2009),
# severity 1.0, in linear RGB.
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "none": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
}


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_the_first_colours_differ_to_every_eye(blindness: str) -> None:
    """By more than the nearest two of the older examples do to a deuteranope, which is 0.146."""
    colors = ["background", *(f"class_{number}" for number in range(1, 8))]
    seen = [seen_by(class_color(name, index - 1), np.array(BLINDNESS[blindness])) for index, name in enumerate(colors)]
    assert min(float(np.linalg.norm(one - other)) for one, other in combinations(seen, 2)) > 0.15
    errors = [seen_by(color, np.array(BLINDNESS[blindness])) for color in (MISSED, INVENTED, CONFUSED)]
    assert min(float(np.linalg.norm(one - other)) for one, other in product(seen[1:], errors)) > 0.15
    assert len({class_color(f"class_{index}", index) for index in range(30)}) == 30
