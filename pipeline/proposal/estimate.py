"""How long a study takes and how much it needs, step by step, from how fast a machine trains and predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from pipeline.config.model import MULTILABEL, Config, Zssr
from pipeline.nn.operations import PASSES_OF_A_STEP, boosting_operations
from pipeline.nn.plan import NetworkPlan
from pipeline.nn.slabs import sweep_bytes
from pipeline.nn.zssr.grids import ORIENTATIONS
from pipeline.nn.zssr.methods import METHODS
from pipeline.proposal.cards import COMPILING_S
from pipeline.proposal.costs import (
    APPLYING_S_PER_MVOXEL,
    AUGMENTED_VOXELS_PER_S,
    BOOSTING_STEPS_SHARE,
    COMPARING_S,
    INGESTED_VOXELS_PER_S,
    MERGED_VOXELS_PER_S,
    NETWORK_START_S,
    RUNNER_S,
    SEPARATING_S_PER_MVOXEL,
    START_S,
    drawing_s,
    judged_voxels,
    reporting_s,
)
from pipeline.proposal.speed import Load, Rate, SpeedOf
from pipeline.run.decide import Decision
from pipeline.run.fanout import at_most_at_once, together
from pipeline.run.foresight import Key
from pipeline.run.phases import PHASED, SEPARATION
from pipeline.run.plan import BoostingPlan
from pipeline.volume.geometry import Geometry, zyx
from pipeline.volume.split import PART_IDS

PROCESS_GB = 0.6
"""Of a process with its libraries."""
TENSORS_A_CONVOLUTION = 4
"""Of its output's size that a training holds: output, its gradient, the norm's and the activation's."""
PYRAMID = 8 / 7
"""All levels beside the finest."""


@dataclass(frozen=True)
class Step:
    """A step: its pods, the seconds and the memory that each takes."""

    name: str
    key: Key
    """By which the run knows it."""
    pods: int
    seconds: float
    memory_gb: float


@dataclass(frozen=True)
class Estimate:
    """What a study takes."""

    steps: tuple[Step, ...]
    seconds: float
    """From start to end on this machine."""
    storage_gb: float

    @property
    def pod_hours(self) -> float:
        """Of all pods together."""
        return sum(step.pods * step.seconds for step in self.steps) / 3600


def estimate(
    config: Config,
    decision: Decision,
    geometries: Mapping[str, Geometry],
    cores: int,
    speed_of: SpeedOf,
    *,
    gpus: int | None = None,
    groups: Sequence[Sequence[str]] | None = None,
) -> Estimate:
    """Estimate a study.

    Args:
        config, decision, geometries: what is to be done.
        cores: of this machine.
        speed_of: how fast it trains and predicts.
        gpus: so many trainings or predictions at once, each on GPUs of its own (`training.devices`), for which a
            network is compiled; None: as many as `vemseg run` starts on such a machine, whose processor they share.
        groups: targets that are predicted together; None: as `vemseg run` groups them on such a machine.
    """
    targets, training, inference = config.targets, config.training, config.inference
    jobs = gpus or at_most_at_once(targets, config.boost_methods, cores)
    if groups is None:
        groups = [] if gpus else together(targets, decision.infer_workers, jobs)
    load = load_of(config, decision, geometries, cores, gpus=gpus)
    network, largest, speed = load.network, load.volume_zyx, speed_of(load)
    voxels = {
        part: sum(block.voxels for parts in decision.parts.values() for block in parts.of(part)) for part in PART_IDS
    }
    every = sum(geometry.block.voxels for geometry in geometries.values())
    asked = voxels["test"] if inference.region == "test" else every
    judged_s = judged_voxels(voxels["validation"], training.validations) / speed.predicted_voxels_per_s
    passes = 2 ** len(inference.mirror_axes)
    predicting_s = asked * passes / speed.predicted_voxels_per_s / decision.infer_workers
    block_gb = PROCESS_GB + sweep_bytes(network, decision.block_zyx, largest, passes=passes) / 1e9

    def predicting(group: Sequence[str]) -> Step:
        words = f"{group[0]} and {len(group) - 1} more" if len(group) > 1 else group[0]
        seconds = NETWORK_START_S + len(group) * predicting_s
        return Step(f"predicting {words}", ("infer", ",".join(group)), decision.infer_workers, seconds, block_gb)

    steps = [Step("reading the captures", ("plan", ""), 1, START_S + every / INGESTED_VOXELS_PER_S, PROCESS_GB)]
    if config.augmentation.source == "pool":
        drawn = config.augmentation.pool_samples * prod(decision.patch_zyx)
        workers = inference.workers
        seconds = NETWORK_START_S + drawn / AUGMENTED_VOXELS_PER_S / workers
        steps.append(Step("making training samples", ("augment", ""), workers, seconds, PROCESS_GB))
    before_s = sum(step.pods * step.seconds for step in steps[1:]) / jobs
    chains, after_s, compared_s = [], 0.0, 0.0
    for target in targets:
        count = training.steps if target == MULTILABEL else training.binary_steps or training.steps
        learning = Step(
            f"training {target}",
            ("train", target),
            1,
            NETWORK_START_S + (COMPILING_S if gpus else 0.0) + count * speed.step_s + judged_s,
            _training_gb(network, decision, config),
        )
        steps.append(learning)
        chains.append(learning.seconds)
        if not groups:
            steps.append(predicting((target,)))
            chains[-1] += decision.infer_workers * steps[-1].seconds
    predicted = [predicting(group) for group in groups]
    steps += predicted
    predicted_s = sum(step.pods * step.seconds for step in predicted) / jobs
    if decision.boosting:
        boosting = _boosting(
            decision.boosting, config.boosting.zssr, voxels["test"], Rate.of(speed, load), predicting((MULTILABEL,))
        )
        chains.append(sum(step.pods * step.seconds for step in boosting[:-1]))
        steps += boosting
        compared_s = boosting[-1].seconds
    if any(member.instances for member in config.classes.members):
        seconds = len(SEPARATION) * START_S + SEPARATING_S_PER_MVOXEL * asked / 1e6
        steps.append(Step("telling objects apart", (PHASED, ""), 1, seconds, PROCESS_GB))
        after_s += seconds
    merged_s = len(targets) * asked / MERGED_VOXELS_PER_S / decision.infer_workers
    merging_s = NETWORK_START_S + merged_s if inference.merged else 0.0
    if inference.merged:
        steps.append(Step("merging all networks", ("merge", ""), decision.infer_workers, merging_s, PROCESS_GB))
    drawn_s = drawing_s(voxels["test"], len(config.classes.members), renders=config.evaluation.renders)
    steps += [
        Step("scoring and drawing", ("evaluate", ""), 1, START_S + drawn_s, PROCESS_GB + 16 * voxels["test"] / 1e9),
        Step("writing the report", ("report", ""), 1, reporting_s(len(config.classes.members)), PROCESS_GB),
    ]
    seconds = RUNNER_S + steps[0].seconds + before_s + max(max(chains), sum(chains) / jobs) + predicted_s + merging_s
    # What boosting did is compared beside the scoring, where two processes are at work at once.
    *_, scoring, reporting = steps
    seconds += after_s + reporting.seconds
    seconds += max(scoring.seconds, compared_s) if jobs > 1 else scoring.seconds + compared_s
    predictions = len(targets) + (len(decision.boosting.methods) if decision.boosting else 0)
    if inference.stores_probabilities:
        predictions += len(config.classes.members) + len(targets) - (MULTILABEL in targets)
    predictions += inference.merged + inference.doubt
    stored = PYRAMID * (3 * every + predictions * asked)
    return Estimate(tuple(steps), seconds, stored / 1e9)


def load_of(
    config: Config, decision: Decision, geometries: Mapping[str, Geometry], cores: int, *, gpus: int | None = None
) -> Load:
    """What the time of a study's steps depends on: those at once share the cores, GPUs the batch of a training.

    cores, gpus: as of `estimate`.
    """
    jobs = gpus or at_most_at_once(config.targets, config.boost_methods, cores)
    largest = zyx([max(geometry.shape_zyx[axis] for geometry in geometries.values()) for axis in range(3)], "volume")
    return Load(
        decision.networks[config.targets[0]],
        decision.patch_zyx,
        config.training.batch_size // (config.training.devices if gpus else 1),
        next(iter(geometries.values())).voxel_size_nm,
        decision.block_zyx,
        largest,
        max(1, cores // jobs),
    )


def _boosting(plan: BoostingPlan, zssr: Zssr, test_voxels: float, rate: Rate, predicting: Step) -> list[Step]:
    """The test part is made coarse, boosted by each method, predicted, and compared; this one is the last."""
    passes = len(ORIENTATIONS) if zssr.self_ensemble else 1
    boosted_s = passes * _boosting_operations(zssr) * test_voxels / rate.predicting
    steps = [Step("making the test part coarse", ("degrade", ""), 1, 2 * START_S, PROCESS_GB)]
    for method in plan.methods:
        applied_s = 2 * START_S + APPLYING_S_PER_MVOXEL * test_voxels / 1e6
        if METHODS[method].learns:
            steps.append(
                Step(
                    "learning to boost",
                    ("boost-train", method),
                    1,
                    NETWORK_START_S + learning_to_boost_s(zssr, rate),
                    PROCESS_GB,
                )
            )
            applied_s += boosted_s
        steps.append(Step(f"boosting by {method}", ("boost-apply", method), 1, applied_s, PROCESS_GB))
        name = f"predicting what {method} boosted"
        steps.append(replace(predicting, name=name, key=("infer", method), pods=plan.workers))
    compare = Step("comparing what boosting did", ("compare", ""), 1, START_S + COMPARING_S, PROCESS_GB)
    return [*steps, compare]


def learning_to_boost_s(zssr: Zssr, rate: Rate) -> float:
    """Seconds that zero-shot super-resolution learns, at a machine's rate."""
    pixels = BOOSTING_STEPS_SHARE * zssr.most_steps * zssr.batch_size * zssr.patch**2
    return PASSES_OF_A_STEP * _boosting_operations(zssr) * pixels / rate.training


def _boosting_operations(zssr: Zssr) -> float:
    """Of each pixel that it improves."""
    return boosting_operations(zssr.features, zssr.layers, zssr.fold)


def _training_gb(network: NetworkPlan, decision: Decision, config: Config) -> float:
    voxels, held = float(config.training.batch_size * prod(decision.patch_zyx)), 0.0
    for level in network.levels:
        held += 2 * len(level.kernels_zyx) * level.features * voxels * TENSORS_A_CONVOLUTION * 4
        voxels /= prod(level.pool_zyx)
    return PROCESS_GB + held / 1e9
