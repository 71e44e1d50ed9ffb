"""What is to be told apart, from the ids or masks of labels: classes, ignored ids, slices that nobody labelled."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.config.colors import BACKGROUND, class_color
from pipeline.config.model import MERGED, MULTILABEL
from pipeline.errors import InputError
from pipeline.formats import percent_phrase
from pipeline.proposal.fingerprint import OBJECT, Fingerprint
from pipeline.volume.labels import MAX_OVERLAPPING

BACKGROUND_NAME = "background"
IGNORED_BY_CUSTOM = (255, 65535, 2**32 - 1, 2**64 - 1)
"""The largest number of a type, beside small ones, is what label editors write for "unknown"."""
LARGEST_GREY = 255
SHARE_THAT_HAS_NO_GAPS = 0.005
"""Of the voxels: what is as common in labelled slices ends neither at once nor in the middle of a stack."""
_MOST_TOLD = 8
_SAYS_NOTHING = re.compile(
    r"(?i)label|mask|ground|truth|gt|seg(mentation)?|annotat\w*|anno|train(ing)?|test(ing)?|valid(ation)?|val|raw|im(g|age)s?"
    r"|stack|volume|data|\d+"
)


@dataclass(frozen=True)
class ProposedClass:
    """A class: its name, the ids that mean it, its colour, and what share of the labelled voxels it is."""

    name: str
    ids: tuple[int, ...]
    color: str
    share: float
    fill: bool = False
    counted_as: tuple[int | str, ...] = ()
    """What it is called in a fingerprint's profiles; empty for a class that takes the voxels in no mask."""


@dataclass(frozen=True)
class ProposedClasses:
    """All of them, and why they are these."""

    members: tuple[ProposedClass, ...]
    exclusive: bool
    ignore_ids: tuple[int, ...]
    why: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    """What a person should look at."""

    @property
    def foreground(self) -> tuple[ProposedClass, ...]:
        """Those that are no background."""
        return tuple(member for member in self.members if member.name != BACKGROUND_NAME)

    @property
    def are_opposites(self) -> bool:
        """Whether each of two is what the other is not, so that a network for one mirrors that for the other."""
        return self.exclusive and len(self.members) == 2


def propose_classes(
    stacks: Sequence[Fingerprint], given: Mapping[str, Sequence[int]] | None = None, ignored: Sequence[int] = ()
) -> ProposedClasses:
    """The classes of some stacks.

    Args:
        stacks: that share them.
        given: classes and their ids, where a person named them; all other ids are then the background.
        ignored: ids that mean "not labelled".

    Raises:
        InputError: nothing to tell apart, or one stack has masks and another ids.
    """
    if len({stack.has_masks for stack in stacks}) > 1:
        raise InputError("some labels are masks and others ids; give all stacks the same kind of labels")
    voxels: dict[int | str, int] = {}
    for stack in stacks:
        for id_, count in stack.voxels.items():
            voxels[id_] = voxels.get(id_, 0) + count
    if stacks[0].has_masks:
        if given or ignored:
            raise InputError("--class and --ignore are for labels of ids; masks have the names of their folders")
        return _nameable(_of_masks(stacks, voxels), "leave some masks out", "rename the mask")
    found = _given(stacks, voxels, given, ignored) if given else _of_ids(stacks, voxels, ignored)
    found = _nameable(found, "name those that matter with --class name=1,2", "take another name: --class name=1")
    held = {id_ for id_, count in voxels.items() if count}.union(*(stack.objects for stack in stacks))
    absent = [id_ for id_ in ignored if id_ not in held]
    if not absent:
        return found
    return replace(found, doubts=(*found.doubts, f"--ignore: no voxel has the id {_listed(absent[:_MOST_TOLD])}"))


def _nameable(found: ProposedClasses, fewer: str, otherwise: str) -> ProposedClasses:
    """Classes that a configuration takes: neither too many nor of a name that means something else. Cures in words."""
    names = Counter(member.name for member in found.members)
    if len(found.members) > MAX_OVERLAPPING:
        raise InputError(
            f"there are {len(found.members)} classes, and at most {MAX_OVERLAPPING} can be told apart; {fewer}"
        )
    for name, meaning in ((MULTILABEL, "the joint network"), (MERGED, "all networks together")):
        if name in names:
            raise InputError(f"a class cannot be called {name}, which means {meaning}; {otherwise}")
    if names[BACKGROUND_NAME] > 1:
        raise InputError(
            f"a class is called {BACKGROUND_NAME}, and so is what is of no class; {otherwise}, or leave it out where "
            "it means the same"
        )
    return found


def named_classes(stack: Fingerprint, classes: ProposedClasses) -> list[str] | None:
    """The classes that a stack's masks are of; None where they are of all."""
    masks = [str(name) for name in stack.profiles] if stack.has_masks else []
    return masks if masks and any(not each.fill and each.name not in masks for each in classes.members) else None


def _of_masks(stacks: Sequence[Fingerprint], voxels: Mapping[int | str, int]) -> ProposedClasses:
    with_all = [stack for stack in stacks if set(stack.profiles) == set(voxels)]
    overlap, uncovered = any(stack.masks_overlap for stack in stacks), sum(stack.uncovered for stack in with_all)
    total = max(1, sum(voxels.values()) + uncovered)
    empty = [name for name, count in voxels.items() if not count]
    if empty:
        raise InputError(f"the mask of {empty[0]!r} is empty in every stack; leave it out, or give the right file")
    members = [
        ProposedClass(str(name), (), class_color(str(name), index), count / total, counted_as=(name,))
        for index, (name, count) in enumerate(voxels.items())
    ]
    if overlap:
        why = "masks share voxels, so a voxel may be of several classes"
        return ProposedClasses(tuple(members), False, (), (why,))
    if not with_all:
        why = "no stack has masks of all classes, and nothing says where a voxel is of none: each is asked for alone"
        return ProposedClasses(tuple(members), False, (), (why,))
    why = "no two masks share a voxel, so each voxel is of one class"
    if not uncovered:
        return ProposedClasses(tuple(members), True, (), (why,))
    rest = ProposedClass(BACKGROUND_NAME, (), BACKGROUND, uncovered / total, fill=True)
    return ProposedClasses((rest, *members), True, (), (why, "the background takes every voxel that is in no mask"))


def _given(
    stacks: Sequence[Fingerprint],
    voxels: Mapping[int | str, int],
    given: Mapping[str, Sequence[int]],
    ignored: Sequence[int],
) -> ProposedClasses:
    if objects := sorted({id_ for stack in stacks for id_ in stack.objects}):
        raise InputError(
            f"--class: the labels hold {len(objects)} ids, which are single objects rather than classes: all of them "
            "are proposed as one class; leave --class out, and rename the class in the configuration"
        )
    named = {id_ for ids in given.values() for id_ in ids}
    held = sorted(id_ for id_, count in voxels.items() if isinstance(id_, int) and count)
    missing = sorted(named - set(held))
    if missing:
        there = ", ".join(map(str, held))
        raise InputError(f"--class: no voxel has the id {missing[0]}; the labels hold {there}")
    twice = [id_ for id_, times in Counter(id_ for ids in given.values() for id_ in ids).items() if times > 1]
    if twice:
        raise InputError(f"--class: the id {twice[0]} is given twice; a voxel is of one class")
    unlabelled = set(ignored)
    both = sorted(named & unlabelled)
    if both:
        raise InputError(f"--ignore {both[0]}: the id is that of a class, too; leave it out of one of them")
    custom = None if ignored else ignored_by_custom(held)
    ignore = tuple(id_ for id_ in held if id_ in unlabelled or (id_ == custom and id_ not in named))
    rest = tuple(id_ for id_ in held if id_ not in named and id_ not in ignore)
    classes = {name: tuple(ids) for name, ids in given.items()}
    if rest:
        background = (*classes.pop(BACKGROUND_NAME, ()), *rest)
        classes = {BACKGROUND_NAME: background, **classes}
    if len(classes) < 2:
        left = f" of {_listed(ignore)}, or ignore less" if ignore else ""
        raise InputError(f"--class: one class and no background leave nothing to tell apart; name another{left}")
    total = max(1, sum(voxels[id_] for id_ in held if id_ not in ignore))
    members = tuple(
        ProposedClass(
            name,
            ids,
            class_color(name, index - (BACKGROUND_NAME in classes)),
            sum(voxels[id_] for id_ in ids) / total,
            counted_as=ids,
        )
        for index, (name, ids) in enumerate(classes.items())
    )
    why, doubts = ["classes as given"], []
    if rest == (0,):
        why.append("0 is taken for the background; where nobody labelled it, init --ignore 0")
    elif rest:
        share = percent_phrase(sum(voxels[id_] for id_ in rest) / total)
        doubts.append(
            f"ids of no class, {_listed(rest)} ({share} of the labelled voxels), are taken for the background; where "
            f"nobody labelled them: init --ignore {_listed(rest, ',')}"
        )
    if ignore:
        share = percent_phrase(sum(voxels[id_] for id_ in ignore) / max(1, sum(voxels.values())))
        told = f"{_listed(ignore)} ({share} of the voxels): not labelled, so neither learnt nor scored"
        if ignored:
            why.append(told)
        else:
            meant = _listed((*classes.get(BACKGROUND_NAME, ()), *ignore), ",")
            doubts.append(f"{told}; where it means the rest: init --class {BACKGROUND_NAME}={meant}")
    return ProposedClasses(members, True, ignore, tuple(why), tuple(doubts))


def _listed(ids: Sequence[int], by: str = ", ") -> str:
    return by.join(map(str, ids))


def _of_ids(stacks: Sequence[Fingerprint], voxels: Mapping[int | str, int], ignored: Sequence[int]) -> ProposedClasses:
    objects = sorted({id_ for stack in stacks for id_ in stack.objects})
    left_out = {*ignored} - ({OBJECT} if objects else set())
    ids = sorted(id_ for id_, count in voxels.items() if isinstance(id_, int) and count and id_ not in left_out)
    custom = ignored_by_custom(ids) if not objects and not ignored else None
    ignore = tuple(sorted({*ignored, *([custom] if custom is not None else [])}))
    kept = [id_ for id_ in ids if id_ != custom]
    if len(kept) < 2:
        held = f"hold the id {kept[0]} and no other" if kept else "hold no id that is not ignored"
        cure = "ignore less" if ignored else "give the file with the classes' ids"
        raise InputError(f"labels {stacks[0].labels} {held}; there is nothing to tell apart: {cure}")
    subject = _subject(str(stacks[0].labels))
    total = sum(voxels[id_] for id_ in kept)
    members: list[ProposedClass] = []
    for id_ in kept:
        is_only = len(kept) == 2 and kept[0] == 0
        name = BACKGROUND_NAME if id_ == 0 else subject if is_only else f"class_{id_}"
        meant = tuple(each for each in objects if each not in ignore) if objects and id_ == OBJECT else (id_,)
        color = class_color(name, len(members) - (kept[0] == 0))
        members.append(ProposedClass(name, meant, color, voxels[id_] / total, counted_as=(id_,)))
    why, doubts = [], []
    if kept[0] == 0:
        why.append("0 is taken for the background; where it means that nobody labelled a voxel, move it to ignore_ids")
    if custom is not None:
        why.append(f"{custom} beside small ids mostly marks voxels that nobody could label; if it is a class, list it")
    if objects:
        why.append(f"{len(objects)} ids are single objects rather than classes: all of them are one class")
        if objects[-1] <= LARGEST_GREY:
            doubts.append(
                f"{len(objects)} ids up to {objects[-1]} are taken for single objects, all of one class; if they are "
                "shades, as of masks that were made smaller or of probabilities, save the masks as 0 and 255 first"
            )
    return ProposedClasses(tuple(members), True, ignore, tuple(why), tuple(doubts))


def ignored_by_custom(ids: Sequence[int]) -> int | None:
    """The id, of sorted ones, that means "unknown" by the custom of label editors; None where there is none."""
    *others, last = ids
    is_apart = (
        last in IGNORED_BY_CUSTOM and len(others) >= 2 and others == list(range(others[0], others[0] + len(others)))
    )
    return last if is_apart and last > others[-1] + 1 else None


def unlabelled_slices(stack: Fingerprint) -> list[int]:
    """Slices that hold nothing but 0 in the middle of others that hold much else: nobody labelled them.

    Objects grow thin before they end; where labels stop from one slice to the next, it was the person who stopped.
    """
    drawn = [profile[0] for id_, profile in stack.profiles.items() if id_ != 0]
    foreground = np.sum(drawn, axis=0) if drawn else np.zeros(stack.shape_zyx[0])
    given = stack.labelled_slices if stack.labelled_slices is not None else range(stack.shape_zyx[0])
    is_empty = [z for z in given if not foreground[z]]
    full = [z for z in given if foreground[z]]
    if not is_empty or not full or stack.has_masks:
        return []
    usual = float(np.median(foreground[full]))
    ends = [z for z in full if z - 1 in set(is_empty) or z + 1 in set(is_empty)]
    stops_at_once = bool(ends) and min(foreground[z] for z in ends) >= usual / 2
    area = stack.shape_zyx[1] * stack.shape_zyx[2]
    return is_empty if stops_at_once and usual >= SHARE_THAT_HAS_NO_GAPS * area else []


def _subject(labels: str) -> str:
    """What labels of one class are of, by the names of their file and folders; `object` where these do not say."""
    stem = re.sub(r"(\.ome)?\.\w+$", "", labels.rstrip("/"))
    for part in reversed(re.split(r"[/\\:]+", stem)):
        words = [word for word in re.split(r"[^a-zA-Z0-9]+", part) if word]
        kept = [word for word in words if not _SAYS_NOTHING.fullmatch(re.sub(r"s$", "", word)) and word[0].isalpha()]
        if kept and len(words) > len(kept):
            return "_".join(kept).lower()[:40]
    return "object"
