"""The network, its patch and the steps that fit the data, the space between guard bands and the time.

How long a study takes is `estimate`'s to say: a proposal is the one whose estimate comes nearest to the minutes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.model import Config, Zssr
from pipeline.errors import ConfigError, InputError
from pipeline.nn.plan import NetworkPlan, plan_network
from pipeline.nn.regions import receptive_radius
from pipeline.proposal.classes import ProposedClasses
from pipeline.proposal.estimate import estimate, learning_to_boost_s, load_of
from pipeline.proposal.fingerprint import Fingerprint
from pipeline.proposal.parts import ProposedParts, propose_parts
from pipeline.proposal.speed import Load, Rate, Speed, SpeedOf
from pipeline.run.decide import Decision, decide
from pipeline.run.intake import read_kernels
from pipeline.volume.geometry import Geometry, Zyx, ZyxNm, zyx
from pipeline.volume.split import Region

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
"""Of the joint network's steps, that one of a single class is trained for."""
NOT_BOOSTED: dict[str, Any] = {"methods": []}
FEW_PATCHES = 300
"""Of sections that are looked at one by one: fewer are changed more than the default does."""
BOOSTING_SHARES = (0.8, 0.6, 0.4, 0.2)
"""Of the time, that super-resolution may learn for: the first beside which no network learns less, or the last."""
MIRRORING_SHARE = 0.1
"""Of the time, that predicting each voxel from four mirror images may take."""
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
class Fitted:
    """What is learnt, from what, for how long.

    settings: the whole configuration. load: of its first training. seconds: that the study is expected to take.
    """

    settings: dict[str, Any]
    parts: ProposedParts
    guard_zyx: Zyx
    load: Load
    step_s: float
    seconds: float

    @property
    def steps(self) -> int:
        """Of the joint network."""
        return int(self.settings["training"]["steps"])

    @property
    def boosting_steps(self) -> int | None:
        """At most, of super-resolution; None where nothing is boosted."""
        boosting = self.settings["boosting"]
        return None if boosting == NOT_BOOSTED else int(boosting.get("zssr", {}).get("most_steps", Zssr().most_steps))


def fitted(
    stacks: Sequence[Fingerprint],
    classes: ProposedClasses,
    size_nm: ZyxNm,
    wishes: Wishes,
    common: Mapping[str, Any],
    speed_of: SpeedOf,
) -> Fitted:
    """The largest network that has room and learns long enough, and what else there is time for.

    Args:
        stacks, classes, size_nm, wishes: what is known of the data and asked for.
        common: the settings that do not depend on the network.
        speed_of: measures; it is asked `MOST_MEASURED` times at most.

    Raises:
        InputError: there is no room for any network, or for what was asked for.
    """
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
    measured: dict[Load, Speed] = {}
    rate = Rate.common(1)

    def guess(load: Load) -> Speed:
        return measured.get(load) or rate.on(load.threads).speed(load)

    while True:
        for fit in fitting:
            chosen = _timed(stacks, classes, fit, wishes, common, guess)
            if chosen.steps >= (ENOUGH_STEPS / 2 if chosen.load in measured else ENOUGH_STEPS):
                break
        if chosen.load in measured or len(measured) == MOST_MEASURED:
            return chosen
        measured[chosen.load] = speed_of(chosen.load)
        rate = Rate.of(measured[chosen.load], chosen.load).on(1 / chosen.load.threads)


def _timed(
    stacks: Sequence[Fingerprint],
    classes: ProposedClasses,
    fit: _Fit,
    wishes: Wishes,
    common: Mapping[str, Any],
    speed_of: SpeedOf,
) -> Fitted:
    """The steps that the minutes leave a network, and whether there is time for more than the one."""
    geometries = {stack.name: Geometry(stack.shape_zyx, fit.load.voxel_size_nm) for stack in stacks}
    limit_s = 60 * wishes.minutes

    def within_time(*, binary: bool, boosting: bool) -> Fitted:
        shares = BOOSTING_SHARES if boosting else (0.0,)
        studies = [_Study(fit, wishes, common, geometries, speed_of, binary, boosting, share) for share in shares]
        study = next((each for each in studies if each.seconds(MOST_STEPS) <= limit_s), studies[-1])
        most = bisect_right(range(MOST_STEPS + 1), limit_s, lo=LEAST_STEPS, key=study.seconds) - 1
        return study.trained_for(max(LEAST_STEPS, _rounded(most)))

    try:
        chosen = within_time(binary=bool(wishes.binary), boosting=bool(wishes.boosting))
    except ConfigError as error:
        if not wishes.boosting:
            raise
        raise InputError(
            "--boost: the slices are too small to be made coarse; leave the option out, or give a larger stack"
        ) from error
    binary = bool(wishes.binary)
    if wishes.binary is None and not classes.are_opposites:
        more = within_time(binary=True, boosting=bool(wishes.boosting))
        if more.steps > MOST_STEPS / 2:
            chosen, binary = more, True
    if wishes.boosting is None and chosen.steps > MOST_STEPS / 2:
        try:
            more = within_time(binary=binary, boosting=True)
        except ConfigError:  # too small to be made coarse
            return chosen
        if more.steps > MOST_STEPS / 2 and (more.boosting_steps or 0) >= ENOUGH_STEPS:
            return more
    return chosen


@dataclass(frozen=True)
class _Study:
    """All but the number of steps."""

    fit: _Fit
    wishes: Wishes
    common: Mapping[str, Any]
    geometries: Mapping[str, Geometry]
    speed_of: SpeedOf
    binary: bool
    boosting: bool
    boosting_share: float

    def seconds(self, steps: int) -> float:
        """That it takes."""
        return estimate(
            Config.model_validate(self._settings(steps)),
            self._decision,
            self.geometries,
            self.wishes.cores,
            self.speed_of,
            gpus=self._gpus,
        ).seconds

    def trained_for(self, steps: int) -> Fitted:
        """The whole."""
        step_s = self.speed_of(self._load).step_s
        return Fitted(
            self._settings(steps), self.fit.parts, self.fit.guard_zyx, self._load, step_s, self.seconds(steps)
        )

    @property
    def _gpus(self) -> int | None:
        return 1 if self.wishes.machine else None

    @cached_property
    def _config(self) -> Config:
        """But for what depends on how fast this machine is."""
        return Config.model_validate(self._plain(LEAST_STEPS))

    @cached_property
    def _decision(self) -> Decision:
        kernels = read_kernels(self._config.boosting, Path()) if self._config.boost_methods else None
        return decide(self._config, self.geometries, kernels)

    @cached_property
    def _load(self) -> Load:
        return load_of(self._config, self._decision, self.geometries, self.wishes.cores, gpus=self._gpus)

    def _settings(self, steps: int) -> dict[str, Any]:
        settings = self._plain(steps)
        if self._mirrored:
            settings["inference"]["mirror_axes"] = ["y", "x"]
        if self.boosting and self._zssr:
            settings["boosting"]["zssr"] = self._zssr
        return settings

    def _plain(self, steps: int) -> dict[str, Any]:
        """All that does not depend on how fast this machine is, but for the steps."""
        load, parts, flat = self.fit.load, self.fit.parts, self.fit.flat
        few = sum(parts.voxels["train"]) < FEW_PATCHES * prod(load.patch_zyx)
        training: dict[str, Any] = {
            "patch_zyx": list(load.patch_zyx),
            "batch_size": load.batch_size,
            "steps": steps,
            "learning_rate": float(np.round(np.clip(2e-3 * (3000 / steps) ** 0.6, 2e-3, 6e-3), 4)),
            "targets": "all" if self.binary else "multilabel",
        }
        if self.binary:
            training["binary_steps"] = max(LEAST_STEPS, _rounded(BINARY_STEPS_SHARE * steps))
        return {
            **self.common,
            "split": {"regions": [_region(region) for region in parts.regions]},
            "augmentation": {
                "source": "pool" if self.binary else "on_the_fly",
                **({"transforms": STRONGER} if few and flat else {}),
            },
            "network": {
                "features": [level.features for level in load.network.levels],
                **({"z_context_slices": 0} if flat else {}),
            },
            "training": training,
            "inference": {"block_zyx": list(load.block_zyx), "shard_zyx": _shard(load.block_zyx), "workers": 1},
            "boosting": {"factor": 2} if self.boosting else NOT_BOOSTED,
        }

    @cached_property
    def _mirrored(self) -> bool:
        predicting_s = sum(self.fit.parts.voxels["test"]) / self.speed_of(self._load).predicted_voxels_per_s
        return 4 * predicting_s < 60 * self.wishes.minutes * MIRRORING_SHARE

    @cached_property
    def _zssr(self) -> dict[str, Any]:
        """How long super-resolution learns; empty where there is time for as long as it likes."""
        default, rate = Zssr(), Rate.of(self.speed_of(self._load), self._load)
        most_s = self.boosting_share * 60 * self.wishes.minutes
        for fold in (default.fold, 2 * default.fold):
            share = most_s / learning_to_boost_s(Zssr(fold=fold), rate)
            steps = int(default.most_steps * min(1.0, share))
            if steps >= ENOUGH_STEPS:
                break
        if steps >= default.most_steps:
            return {} if fold == default.fold else {"fold": fold}
        folded = {"fold": fold} if fold != default.fold else {}
        return {**folded, "most_steps": max(LEAST_STEPS, _rounded(steps))}


@dataclass(frozen=True)
class _Fit:
    """A network for which there is room between the guard bands."""

    load: Load
    parts: ProposedParts
    guard_zyx: Zyx

    @property
    def flat(self) -> bool:
        """Whether each slice is looked at on its own."""
        return self.load.patch_zyx[0] == 1


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


def _shard(block_zyx: Zyx) -> list[int]:
    return [block_zyx[0], max(block_zyx[1], 256), max(block_zyx[2], 256)]


def _rounded(number: float) -> int:
    """Two digits: an estimate is no more exact."""
    if number < 1:
        return 0
    digits = 10 ** max(0, int(np.log10(number)) - 1)
    return int(number // digits * digits)


def _region(region: Region) -> dict[str, Any]:
    spans = {axis: list(getattr(region, axis)) for axis in "zyx" if getattr(region, axis)}
    return {"part": region.part, "capture": region.capture, **spans}
