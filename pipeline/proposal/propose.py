"""The configuration that the data and the time ask for, each choice with its reason. Nothing here reads a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np

from pipeline.config.model import parse_config
from pipeline.config.reading import write_yaml
from pipeline.errors import InputError
from pipeline.formats import rough_duration, sides
from pipeline.proposal.classes import ProposedClasses, named_classes, propose_classes, unlabelled_slices
from pipeline.proposal.fingerprint import Fingerprint
from pipeline.proposal.fitting import ENOUGH_STEPS, LEAST_STEPS, MOST_STEPS, NOT_BOOSTED, Fitted, Wishes, fitted
from pipeline.proposal.parts import ProposedParts
from pipeline.proposal.speed import SpeedOf
from pipeline.volume.geometry import ZyxNm, doubts_of_size
from pipeline.volume.greyvalues import compare
from pipeline.volume.split import Part


@dataclass(frozen=True)
class Proposal:
    """A configuration, the reasons of its choices by key, and what a person should look at."""

    settings: dict[str, Any]
    why: dict[str, str]
    warnings: tuple[str, ...]
    left_out: tuple[str, ...]
    minutes: float
    """That the study is expected to take."""


def propose(stacks: Sequence[Fingerprint], wishes: Wishes, speed_of: SpeedOf) -> Proposal:
    """Decide on everything.

    Args:
        stacks: with their roles; at least one is for any part.
        wishes: what a person asked for.
        speed_of: how fast a network trains and predicts.

    Raises:
        InputError: something that only a person can say is missing, or there is too little to make three parts of.
    """
    stacks = _named_apart(stacks)
    if not isfinite(wishes.minutes):
        raise InputError(f"--minutes {wishes.minutes}: give a number, such as 30")
    if not any(stack.role == "any" for stack in stacks):
        raise InputError("every stack is for validation or test; give one to train on, too")
    voxel_size_nm, warnings = _voxel_size(stacks, wishes.voxel_size_nm)
    classes = propose_classes(stacks, wishes.classes, wishes.ignore_ids)
    warnings += classes.doubts
    labelled = {stack.name: _labelled(stack, wishes) for stack in stacks}
    common: dict[str, Any] = {
        "name": stacks[0].name,
        "data": {"captures": [_capture(stack, labelled[stack.name], wishes, classes) for stack in stacks]},
        "classes": _classes(classes),
    }
    for name, slices in labelled.items():
        if slices is not None:
            warnings.append(
                f"{name}: slices {_ranges([z for z in range(_of(stacks, name).shape_zyx[0]) if z not in slices])} hold "
                "no labels and are left out; were they looked at and empty, remove labelled_slices"
            )
    warnings += _without_some(stacks, classes)
    if unlike := _unlike_greys(stacks):
        common["data"]["intensity"] = "match"
        warnings.append(f"{unlike}; they are matched to the first's (data.intensity)")
    parse_config(write_yaml(common), "the proposal")  # what no configuration takes is told before anything is measured
    chosen = fitted(stacks, classes, voxel_size_nm, wishes, common, speed_of)
    warnings += _sparse(classes, chosen.parts)
    warnings += _hurried(chosen, wishes)
    return Proposal(
        chosen.settings,
        _reasons(stacks, classes, voxel_size_nm, chosen, wishes),
        tuple(warnings),
        tuple(_left_out(classes, chosen.settings)),
        chosen.seconds / 60,
    )


# --- what the files say


def _named_apart(stacks: Sequence[Fingerprint]) -> list[Fingerprint]:
    named: list[Fingerprint] = []
    for stack in stacks:
        taken, name, number = {each.name for each in named}, stack.name, 2
        while name in taken:
            name, number = f"{stack.name[:36]}_{number}", number + 1
        named.append(replace(stack, name=name))
    return named


def _of(stacks: Sequence[Fingerprint], name: str) -> Fingerprint:
    return next(stack for stack in stacks if stack.name == name)


def _voxel_size(stacks: Sequence[Fingerprint], given: ZyxNm | None) -> tuple[ZyxNm, list[str]]:
    sizes = {stack.name: given or stack.voxel_size_nm for stack in stacks}
    for stack in stacks:
        if sizes[stack.name] is None:
            raise InputError(
                f"{stack.raw} does not say how large its voxels are; give --voxel-size-nm z,y,x in nanometres, such as "
                f"--voxel-size-nm 50,8,8{stack.voxel_size_note and f'. {stack.voxel_size_note}'}"
            )
        if given and stack.voxel_size_nm and not np.allclose(given, stack.voxel_size_nm, rtol=0.01):
            raise InputError(
                f"{stack.raw} says that its voxels are {_nm(stack.voxel_size_nm)}, but --voxel-size-nm is {_nm(given)} "
                "(z, y, x); leave the option out, or correct the file"
            )
    first, *others = (size for size in sizes.values() if size is not None)
    if any(not np.allclose(first, other, rtol=0.01) for other in others):
        listed = ", ".join(f"{name} {_nm(size)}" for name, size in sizes.items() if size)
        raise InputError(
            f"the stacks have voxels of different sizes ({listed}); bring them to one: "
            "vemseg resample --input ... --to-nm ..."
        )
    return first, list(doubts_of_size(first))


def _unlike_greys(stacks: Sequence[Fingerprint]) -> str:
    """What differs in the grey values of stacks that one network is to learn; empty where they agree."""
    first, *others = stacks
    for other in others:
        if first.greys and other.greys and (found := compare(other.greys, first.greys)).is_far:
            return f"{other.name}'s grey values are far from {first.name}'s: {found.text}"
    return ""


def _without_some(stacks: Sequence[Fingerprint], classes: ProposedClasses) -> Iterator[str]:
    """Of ids nobody can tell whether a class is not there, or was not looked for."""
    for stack in stacks if len(stacks) > 1 else ():
        found = {id_ for id_, count in stack.voxels.items() if count}
        lacking = [each.name for each in classes.foreground if not found & set(each.counted_as)]
        if lacking and not stack.has_masks:
            yield (
                f"{stack.name}: its labels hold no {', '.join(lacking)}; if nobody looked for that there, list the "
                "classes that they name in its labelled_classes"
            )


def _nm(size: ZyxNm) -> str:
    return f"{sides(size, by='x')} nm"


def _labelled(stack: Fingerprint, wishes: Wishes) -> list[int] | None:
    """The labelled slices, where not all are."""
    zero_is_named = any(0 in ids for ids in (wishes.classes or {}).values())
    empty = set() if zero_is_named else set(unlabelled_slices(stack))
    given = stack.labelled_slices if stack.labelled_slices is not None else range(stack.shape_zyx[0])
    kept = [z for z in given if z not in empty]
    return None if len(kept) == stack.shape_zyx[0] else kept


def _sparse(classes: ProposedClasses, parts: ProposedParts) -> list[str]:
    parts_to_judge: tuple[Part, ...] = ("test", "validation")
    for part in parts_to_judge:
        lacking = parts.lacking(part, classes.members)
        if lacking:
            return [f"the {part} part has no {', '.join(lacking)}; it cannot be judged there"]
    return []


def _hurried(chosen: Fitted, wishes: Wishes) -> Iterator[str]:
    """What the minutes are too few for."""
    asked = {"--binary": wishes.binary, "--boost": wishes.boosting}
    without = "".join(f", or leave out {option}" for option, is_asked in asked.items() if is_asked)
    if chosen.steps <= LEAST_STEPS:
        yield (
            f"it will take about {rough_duration(chosen.seconds)}: in {rough_duration(60 * wishes.minutes)} "
            f"no network learns much; give more --minutes{without}"
        )
    elif chosen.boosting_steps is not None and chosen.boosting_steps < ENOUGH_STEPS / 2:
        yield (
            f"super-resolution learns for {chosen.boosting_steps} steps only, too few to say what boosting does; give "
            "more --minutes, or leave out --boost"
        )


# --- as the configuration writes it


def _capture(
    stack: Fingerprint, labelled: list[int] | None, wishes: Wishes, classes: ProposedClasses
) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": stack.name, "raw": stack.raw, "labels": stack.labels}
    if named := named_classes(stack, classes):
        entry["labelled_classes"] = named
    size_nm = wishes.voxel_size_nm
    if stack.voxel_size_nm is None and size_nm is not None:
        entry["voxel_size_nm"] = [int(edge) if edge == int(edge) else edge for edge in size_nm]
    if labelled is not None:
        entry["labelled_slices"] = [int(each) if each.isdigit() else each for each in _ranges(labelled).split(", ")]
    return entry


def _ranges(slices: Sequence[int]) -> str:
    """Numbers as ranges: 3, 7, 10-14."""
    runs: list[list[int]] = []
    for z in slices:
        if runs and runs[-1][-1] == z - 1:
            runs[-1].append(z)
        else:
            runs.append([z])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _classes(classes: ProposedClasses) -> dict[str, Any]:
    members = [
        {"name": each.name, **({"ids": list(each.ids)} if each.ids else {}), "color": each.color}
        | ({"fill": True} if each.fill else {})
        for each in classes.members
    ]
    ignored = {"ignore_ids": list(classes.ignore_ids)} if classes.ignore_ids else {}
    return {"exclusive": classes.exclusive, **ignored, "members": members}


def _elongation(size_nm: ZyxNm) -> str:
    ratio = f"{size_nm[0] / min(size_nm[1:]):.3g}"
    return "as long in z as in the plane" if ratio == "1" else f"{ratio} times as long in z as in the plane"


def _reasons(
    stacks: Sequence[Fingerprint], classes: ProposedClasses, size_nm: ZyxNm, chosen: Fitted, wishes: Wishes
) -> dict[str, str]:
    sizes = ", ".join(f"{stack.name} {sides(stack.shape_zyx, by='x')} {stack.dtype}" for stack in stacks)
    shares = ", ".join(f"{each.name} {100 * each.share:.2g} %" for each in classes.members)
    settings, steps = chosen.settings, chosen.settings["training"]["steps"]
    binary_steps = settings["training"].get("binary_steps")
    each = f", and {binary_steps} for each class," if binary_steps else ""
    mirrored = "; each voxel is predicted from four mirror images, for which there is time"
    mirrored *= "mirror_axes" in settings["inference"]
    minutes = f"about {rough_duration(chosen.seconds)} in all"
    machine = wishes.machine or ("1 core" if wishes.cores == 1 else f"{wishes.cores} cores")
    limit = " (more would gain little)" if steps == MOST_STEPS else ""
    return {
        "data": f"{sizes}; voxels of {_nm(size_nm)} (z, y, x)",
        "classes": f"{shares}; {'; '.join(classes.why)}" if classes.why else shares,
        "split": chosen.parts.why,
        "augmentation": "made while it trains, since one network needs them"
        if binary_steps is None
        else "made once, for all networks",
        "network": f"voxels are {_elongation(size_nm)}: "
        + (
            "each slice is looked at on its own"
            if "z_context_slices" in settings["network"]
            else f"it sees {', '.join(map(str, chosen.guard_zyx))} voxels (z, y, x) at once"
        ),
        "training": f"{steps} steps of about {chosen.step_s:.2g} s{each} on {machine}: {minutes}{limit}",
        "inference": "a block with what the network sees around it fits into 4 GB" + mirrored,
    }


def _left_out(classes: ProposedClasses, settings: Mapping[str, Any]) -> list[str]:
    lines = []
    if settings["training"]["targets"] == "multilabel":
        why = (
            "with two classes it would only mirror the joint one"
            if classes.are_opposites
            else "not asked for, or no time"
        )
        lines.append(f"a network a class ({why}): training.targets: all, or vemseg init --binary")
    if settings["boosting"] == NOT_BOOSTED:
        lines.append(
            "boosting (does super-resolution help?): replace the line boosting by {factor: 2}, or init --boost"
        )
    return lines
