"""The configuration that the data and the time ask for, each choice with its reason. Nothing here reads a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np

from pipeline.config.model import parse_config
from pipeline.config.reading import write_yaml
from pipeline.errors import ConfigError, InputError
from pipeline.formats import rough_duration, sides
from pipeline.nn.plan import NetworkPlan, plan_network
from pipeline.nn.regions import receptive_radius
from pipeline.proposal.classes import ProposedClasses, named_classes, propose_classes, unlabelled_slices
from pipeline.proposal.costs import RUNNER_S, START_S, boosting_s, drawing_s, judged_voxels
from pipeline.proposal.fingerprint import Fingerprint
from pipeline.proposal.parts import ProposedParts, propose_parts
from pipeline.proposal.speed import Load, Rate, Speed, SpeedOf
from pipeline.volume.geometry import Zyx, ZyxNm, doubts_of_size, zyx
from pipeline.volume.greyvalues import compare
from pipeline.volume.split import Part, Region

SECTIONS_APART = 5.0
"""Voxels so many times longer in z than in the plane: neighbouring sections are hardly alike, and sections shift."""
WIDE, MIDDLE, SMALL = 128, 96, 64
NETWORKS: tuple[tuple[tuple[int, ...], int], ...] = (
    ((16, 32, 64, 96, 128), WIDE),
    ((16, 32, 64, 96), WIDE),
    ((16, 32, 64, 96), MIDDLE),
    ((16, 32, 64), MIDDLE),
    ((12, 24, 48), SMALL),
    ((12, 24), SMALL),
    ((8, 12), 32),
    ((8,), 16),
)
"""Channels of the levels, and the edge of a patch in the plane; the first that fits space and time is taken."""
FOR_LITTLE_ROOM = 3
"""So many of the last ones are too small to learn much: taken where guard bands leave no room for another."""
ENOUGH_STEPS, LEAST_STEPS, MOST_STEPS = 600, 100, 6000
"""A smaller network that learns so long is better than a larger one that does not; none is trained for less or more."""
MOST_MEASURED = 2
"""Networks: each takes some ten seconds, and what is known of one tells about the others."""
MOST_LOST = 0.35
"""Of the voxels, to guard bands."""
BINARY_STEPS_SHARE = 0.3
STARTS = 7
"""Of processes, in a light study."""
VALIDATIONS = 8
FEW_PATCHES = 300
"""Of sections that are looked at one by one: fewer are changed more than the default does."""
MIRRORING_SHARE = 0.1
"""Of the time, that predicting each voxel from four mirror images may take."""


@dataclass(frozen=True)
class Wishes:
    """What a person says beside the files."""

    minutes: float = 30.0
    cores: int = 1
    machine: str = ""
    """What it is to run on, in words; empty: this machine's cores."""
    voxel_size_nm: ZyxNm | None = None
    classes: Mapping[str, Sequence[int]] | None = None
    ignore_ids: tuple[int, ...] = ()
    binary: bool | None = None
    """Whether a network a class is trained beside the joint one; None: where the time allows."""
    boosting: bool | None = None


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
    chosen = _choose(stacks, classes, voxel_size_nm, wishes, speed_of)
    settings: dict[str, Any] = {
        "name": stacks[0].name,
        "data": {"captures": [_capture(stack, labelled[stack.name], wishes, classes) for stack in stacks]},
        "classes": _classes(classes),
        "split": {"regions": [_region(region) for region in chosen.parts.regions]},
        "augmentation": chosen.augmentation,
        "network": {"features": list(chosen.features), **({"z_context_slices": 0} if chosen.flat else {})},
        "training": chosen.training,
        "inference": chosen.inference,
    }
    settings["boosting"] = {"factor": 2} if chosen.boosting else {"methods": []}
    for name, slices in labelled.items():
        if slices is not None:
            warnings.append(
                f"{name}: slices {_ranges([z for z in range(_of(stacks, name).shape_zyx[0]) if z not in slices])} hold "
                "no labels and are left out; were they looked at and empty, remove labelled_slices"
            )
    warnings += _without_some(stacks, classes)
    if unlike := _unlike_greys(stacks):
        settings["data"]["intensity"] = "match"
        warnings.append(f"{unlike}; they are matched to the first's (data.intensity)")
    warnings += _sparse(classes, chosen.parts)
    if chosen.minutes > 1.2 * wishes.minutes:
        warnings.append(
            f"it will take about {rough_duration(60 * chosen.minutes)}: in {rough_duration(60 * wishes.minutes)} "
            "no network learns much"
        )
    parse_config(write_yaml(settings), "the proposal")
    return Proposal(
        settings,
        _reasons(stacks, classes, voxel_size_nm, chosen, wishes),
        tuple(warnings),
        tuple(_left_out(classes, chosen)),
        chosen.minutes,
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


# --- network, patch and steps


@dataclass(frozen=True)
class _Chosen:
    features: tuple[int, ...]
    flat: bool
    parts: ProposedParts
    guard_zyx: Zyx
    augmentation: dict[str, Any]
    training: dict[str, Any]
    inference: dict[str, Any]
    binary: bool
    boosting: bool
    minutes: float
    step_s: float
    mirrored: bool


def _choose(
    stacks: Sequence[Fingerprint], classes: ProposedClasses, size_nm: ZyxNm, wishes: Wishes, speed_of: SpeedOf
) -> _Chosen:
    fitting = list(_fitting(stacks, classes, size_nm, wishes))
    small = [features for features, _ in NETWORKS[-FOR_LITTLE_ROOM:]]
    large = [fit for fit in fitting if tuple(level.features for level in fit.load.network.levels) not in small]
    fitting = large or fitting[:1]
    if not fitting:
        raise InputError(
            "there is too little to cut train, validation and test parts with guard bands from, in all of which there "
            "are labels; give another labelled stack (--test RAW LABELS), or larger ones"
        )
    # The one that is taken is measured; what the others would take follows from it. Mostly the first guess stays.
    measured: dict[int, Speed] = {}
    rate = Rate.common(wishes.cores)
    while True:
        for index, fit in enumerate(fitting):
            is_last, speed = index == len(fitting) - 1, measured.get(index) or rate.speed(fit.load)
            chosen = _timed(stacks, classes, fit, wishes, speed)
            if is_last or chosen.training["steps"] >= (ENOUGH_STEPS / 2 if index in measured else ENOUGH_STEPS):
                break
        if index in measured or len(measured) == MOST_MEASURED:
            return chosen
        measured[index] = speed_of(fit.load)
        rate = Rate.of(measured[index], fit.load)


@dataclass(frozen=True)
class _Fit:
    """A network for which there is room between the guard bands."""

    load: Load
    parts: ProposedParts
    guard_zyx: Zyx


def _fitting(stacks: Sequence[Fingerprint], classes: ProposedClasses, size_nm: ZyxNm, wishes: Wishes) -> Iterator[_Fit]:
    cut: dict[Zyx, ProposedParts | None] = {}
    last: _Fit | None = None
    for features, edge in NETWORKS:
        try:
            network, patch, batch = _network(stacks, classes, size_nm, features, edge)
        except ConfigError:
            continue  # too many levels for so small a patch
        guard = zyx([2 * r + 1 for r in receptive_radius(network)], "guard")
        if guard not in cut:
            cut[guard] = propose_parts(stacks, classes.members, guard)
        parts = cut[guard]
        if parts is None:
            continue
        load = Load(network, patch, batch, size_nm, _block(stacks, network), _largest(stacks), wishes.cores)
        last = _Fit(load, parts, guard)
        if parts.kept >= 1 - MOST_LOST:
            yield last
    if last is not None and last.parts.kept < 1 - MOST_LOST:
        yield last


def _network(
    stacks: Sequence[Fingerprint], classes: ProposedClasses, size_nm: ZyxNm, features: tuple[int, ...], edge: int
) -> tuple[NetworkPlan, Zyx, int]:
    """The network, its patch and the samples of a batch."""
    smallest = [min(stack.shape_zyx[axis] for stack in stacks if stack.role == "any") for axis in range(3)]
    flat = _is_flat(size_nm, smallest[0])
    wanted = (1, 2 * edge, 2 * edge) if flat else (16 if edge == WIDE else 8, edge, edge)
    extent = zyx([min(pair) for pair in zip(wanted, smallest, strict=True)], "patch")
    network = plan_network(
        voxel_size_nm=size_nm,
        extent_zyx=extent,
        outputs=len(classes.members),
        head="softmax" if classes.exclusive else "sigmoid",
        features=features,
        z_context_slices=0 if flat else None,
    )
    patch = zyx([max(s, n // s * s) for n, s in zip(extent, network.stride_zyx, strict=True)], "patch")
    return network, patch, 4 if flat else 2


def _is_flat(size_nm: ZyxNm, depth: int) -> bool:
    """Whether each slice is looked at on its own."""
    return size_nm[0] >= SECTIONS_APART * min(size_nm[1:]) or depth < 4


def _block(stacks: Sequence[Fingerprint], network: NetworkPlan) -> Zyx:
    """What is predicted at once: small enough for 4 GB, whatever the network."""
    wanted = (1, 512, 512) if network.stride_zyx[0] == 1 and receptive_radius(network)[0] == 0 else (16, 256, 256)
    return zyx([min(pair) for pair in zip(wanted, _largest(stacks), strict=True)], "block")


def _largest(stacks: Sequence[Fingerprint]) -> Zyx:
    return zyx([max(stack.shape_zyx[axis] for stack in stacks) for axis in range(3)], "volume")


def _timed(
    stacks: Sequence[Fingerprint],
    classes: ProposedClasses,
    fit: _Fit,
    wishes: Wishes,
    speed: Speed,
) -> _Chosen:
    """The steps that the minutes leave, and whether there is time for more than the one network."""
    parts, load = fit.parts, fit.load
    voxels = {part: sum(counts) for part, counts in parts.voxels.items()}
    predicted = voxels["test"] + judged_voxels(voxels["validation"], VALIDATIONS)
    predicting_s = predicted / speed.predicted_voxels_per_s
    other_s = RUNNER_S + START_S * STARTS + drawing_s(voxels["test"], len(classes.members)) + predicting_s
    left_s = 60 * wishes.minutes - other_s
    flat = load.patch_zyx[0] == 1
    steps = left_s / speed.step_s
    binary_s = BINARY_STEPS_SHARE * len(classes.members) * min(steps, MOST_STEPS / 2) * speed.step_s
    boosted_s = boosting_s(voxels["test"]) + 3 * predicting_s
    binary = (
        wishes.binary
        if wishes.binary is not None
        else not classes.are_opposites and left_s - binary_s > MOST_STEPS / 2 * speed.step_s
    )
    left_s -= binary_s * binary
    boosting = wishes.boosting if wishes.boosting is not None else left_s - boosted_s > MOST_STEPS / 2 * speed.step_s
    left_s -= boosted_s * boosting
    steps = int(np.clip(_rounded(left_s / speed.step_s), LEAST_STEPS, MOST_STEPS))
    few = voxels["train"] < FEW_PATCHES * np.prod(load.patch_zyx)
    mirrored = 4 * voxels["test"] / speed.predicted_voxels_per_s < 60 * wishes.minutes * MIRRORING_SHARE
    training: dict[str, Any] = {
        "patch_zyx": list(load.patch_zyx),
        "batch_size": load.batch_size,
        "steps": steps,
        "learning_rate": float(np.round(np.clip(2e-3 * (3000 / steps) ** 0.6, 2e-3, 6e-3), 4)),
        "targets": "all" if binary else "multilabel",
    }
    if binary:
        training["binary_steps"] = max(LEAST_STEPS, _rounded(BINARY_STEPS_SHARE * steps))
    total_s = other_s + steps * speed.step_s + binary_s * binary + boosted_s * boosting
    return _Chosen(
        features=tuple(level.features for level in load.network.levels),
        flat=flat,
        parts=parts,
        guard_zyx=fit.guard_zyx,
        augmentation={
            "source": "pool" if binary else "on_the_fly",
            **({"transforms": STRONGER} if few and flat else {}),
        },
        training=training,
        inference={
            "block_zyx": list(load.block_zyx),
            "shard_zyx": _shard(load.block_zyx),
            **({"mirror_axes": ["y", "x"]} if mirrored else {}),
            "workers": 1,
        },
        binary=bool(binary),
        boosting=bool(boosting),
        minutes=total_s / 60,
        step_s=speed.step_s,
        mirrored=bool(mirrored),
    )


STRONGER = {
    "rotation_probability": 0.8,
    "scale_probability": 0.6,
    "stretch_probability": 0.4,
    "elastic_probability": 0.5,
    "elastic_amplitude_voxels": 6,
    "elastic_spacing_voxels": 48,
    "contrast_probability": 0.6,
    "brightness_probability": 0.6,
}
"""Changes of few sections: more than the default."""


def _shard(block_zyx: Zyx) -> list[int]:
    return [block_zyx[0], max(block_zyx[1], 256), max(block_zyx[2], 256)]


def _rounded(number: float) -> int:
    """Two digits: an estimate is no more exact."""
    if number < 1:
        return 0
    digits = 10 ** max(0, int(np.log10(number)) - 1)
    return int(number // digits * digits)


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


def _region(region: Region) -> dict[str, Any]:
    spans = {axis: list(getattr(region, axis)) for axis in "zyx" if getattr(region, axis)}
    return {"part": region.part, "capture": region.capture, **spans}


def _reasons(
    stacks: Sequence[Fingerprint], classes: ProposedClasses, size_nm: ZyxNm, chosen: _Chosen, wishes: Wishes
) -> dict[str, str]:
    sizes = ", ".join(f"{stack.name} {sides(stack.shape_zyx, by='x')} {stack.dtype}" for stack in stacks)
    shares = ", ".join(f"{each.name} {100 * each.share:.2g} %" for each in classes.members)
    steps, minutes = chosen.training["steps"], f"about {rough_duration(60 * chosen.minutes)} in all"
    machine = wishes.machine or ("1 core" if wishes.cores == 1 else f"{wishes.cores} cores")
    limit = " (more would gain little)" if steps == MOST_STEPS else ""
    return {
        "data": f"{sizes}; voxels of {_nm(size_nm)} (z, y, x)",
        "classes": f"{shares}; {'; '.join(classes.why)}" if classes.why else shares,
        "split": chosen.parts.why,
        "augmentation": "made while it trains, since one network needs them"
        if not chosen.binary
        else "made once, for all networks",
        "network": f"voxels are {_elongation(size_nm)}: "
        + (
            "each slice is looked at on its own"
            if chosen.flat
            else f"it sees {', '.join(map(str, chosen.guard_zyx))} voxels (z, y, x) at once"
        ),
        "training": f"{steps} steps of about {chosen.step_s:.2g} s on {machine}: {minutes}{limit}",
        "inference": "a block with what the network sees around it fits into 4 GB"
        + ("; each voxel is predicted from four mirror images, for which there is time" * chosen.mirrored),
    }


def _left_out(classes: ProposedClasses, chosen: _Chosen) -> list[str]:
    lines = []
    if not chosen.binary:
        why = (
            "with two classes it would only mirror the joint one"
            if classes.are_opposites
            else "not asked for, or no time"
        )
        lines.append(f"a network a class ({why}): training.targets: all, or vemseg init --binary")
    if not chosen.boosting:
        lines.append(
            "boosting (does super-resolution help?): replace the line boosting by {factor: 2}, or init --boost"
        )
    return lines
