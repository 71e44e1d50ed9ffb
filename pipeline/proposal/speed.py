"""How fast a machine trains and predicts with a network: this one, measured once and kept, or one of a known rate."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.nn.operations import predicting_operations, training_operations
from pipeline.nn.plan import NetworkPlan
from pipeline.run.machine import description
from pipeline.volume.geometry import Block, Zyx, ZyxNm, zyx

LEAST_S = 3.0
"""That a measurement takes, once it is warm."""
BUSY = 0.5
"""Share of its threads' time that a process gets; below, other programs hold the processor."""
COMMON_RATE = 5e10
"""Floating-point operations a second of a core, about."""
_WARM_UP_STEPS = 2
_MOST_STEPS = 12


@dataclass(frozen=True)
class Speed:
    """Of one process: seconds for a training step, its samples included, and voxels predicted in a second."""

    step_s: float
    predicted_voxels_per_s: float


@dataclass(frozen=True)
class Load:
    """What is trained: what a step's time depends on."""

    network: NetworkPlan
    patch_zyx: Zyx
    batch_size: int
    voxel_size_nm: ZyxNm
    block_zyx: Zyx
    volume_zyx: Zyx
    """That the blocks lie in: what a block sees around itself is computed with it."""
    threads: int

    @property
    def middle_block(self) -> Block:
        """A block in the middle of the volume."""
        sides = zip(self.block_zyx, self.volume_zyx, strict=True)
        start = zyx([(-(-whole // side) // 2) * side for side, whole in sides], "start")
        ends = zip(start, self.block_zyx, self.volume_zyx, strict=True)
        return Block(start, zyx([min(begin + side, whole) for begin, side, whole in ends], "stop"))

    @property
    def training_operations(self) -> float:
        """Of a training step."""
        return training_operations(self.network, self.patch_zyx, self.batch_size)

    @property
    def operations_a_predicted_voxel(self) -> float:
        """With what the network sees around a block."""
        block = self.middle_block
        return predicting_operations(self.network, block, self.volume_zyx) / block.voxels


@dataclass(frozen=True)
class Rate:
    """Floating-point operations a second that a machine reaches with networks of this kind."""

    training: float
    predicting: float

    @classmethod
    def common(cls, threads: int) -> Rate:
        """Of any machine, about: to begin with, before anything is measured."""
        return cls(COMMON_RATE * threads, COMMON_RATE * threads)

    @classmethod
    def of(cls, speed: Speed, load: Load) -> Rate:
        """What a measured speed comes to."""
        return cls(
            load.training_operations / speed.step_s, speed.predicted_voxels_per_s * load.operations_a_predicted_voxel
        )

    def speed(self, load: Load) -> Speed:
        """Of a load at this rate."""
        return Speed(load.training_operations / self.training, self.predicting / load.operations_a_predicted_voxel)


SpeedOf = Callable[[Load], Speed]


def measured(load: Load, say: Callable[[str], None] = lambda _text: None) -> Speed:
    """The speed of this machine: what was kept of an earlier measurement, or a new one of some ten seconds."""
    place = _kept_in() / f"{_digest(load)}.json"
    if (earlier := kept(load)) is not None:
        return earlier
    features = ", ".join(str(level.features) for level in load.network.levels)
    say(f"measuring this machine with a network of {features} channels")
    speed, is_busy = _measure(load)
    if is_busy:
        say("other programs are at work on this machine: what is measured is what it can do without them")
        return speed
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(asdict(speed)), encoding="utf-8")
    return speed


def kept(load: Load) -> Speed | None:
    """What was kept of an earlier measurement of this machine."""
    with suppress(OSError, ValueError, TypeError):
        return Speed(**json.loads((_kept_in() / f"{_digest(load)}.json").read_text(encoding="utf-8")))
    return None


def _kept_in() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vemseg" / "speed"


def _digest(load: Load) -> str:
    machine = {key: value for key, value in description().items() if key not in ("host", "python")}
    facts: list[Any] = [machine, load.network.to_json(), load.patch_zyx, load.batch_size, load.voxel_size_nm]
    facts += [load.block_zyx, load.volume_zyx, load.threads]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def _measure(load: Load) -> tuple[Speed, bool]:
    """The speed, and whether others held the processor meanwhile."""
    import torch

    from pipeline.nn.device import keep_freed_memory, pick_device

    keep_freed_memory()
    former = torch.get_num_threads()
    torch.set_num_threads(load.threads)
    try:
        device = pick_device()
        wall, computed = time.perf_counter(), time.process_time()
        speed = Speed(_step_s(load, device), _predicted_voxels_per_s(load, device))
        busy = (time.process_time() - computed) / (time.perf_counter() - wall) / load.threads
        if device.type == "cpu" and busy < BUSY:
            return Speed(speed.step_s * busy, speed.predicted_voxels_per_s / busy), True
        return speed, False
    finally:
        torch.set_num_threads(former)


def _step_s(load: Load, device: Any) -> float:
    import numpy as np

    from pipeline.nn.augment.layer import Augmenter
    from pipeline.nn.augment.settings import AugmentationSettings
    from pipeline.nn.batches import SampleMaker, on_the_fly, prefetched
    from pipeline.nn.blockwise import Normalisation
    from pipeline.nn.sampling import LabelledBox, draw_candidates
    from pipeline.nn.targets import Target
    from pipeline.nn.unet_training import TrainingSettings, unet_trainer, untrained

    rng, outputs = np.random.default_rng(0), load.network.outputs
    shape = tuple(2 * edge for edge in load.patch_zyx)
    box = LabelledBox(rng.integers(0, 255, shape, np.uint8), rng.integers(1, outputs + 1, shape, np.uint8))
    candidates = draw_candidates([box], count=32, patch_zyx=load.patch_zyx, n_classes=outputs, exclusive=True, seed=0)
    augmenter = Augmenter(AugmentationSettings(), load.patch_zyx, load.voxel_size_nm)
    maker = SampleMaker([box], candidates, augmenter, Normalisation(128.0, 64.0), 0)
    target = Target("speed", tuple(range(1, outputs + 1)), True)
    trainer = unet_trainer(
        untrained(load.network, 0),
        target,
        TrainingSettings(),
        shares=[1 / outputs] * outputs,
        score=lambda _network: {},
        by="",
        steps=1000,
        device=device,
    )
    source = on_the_fly(maker, cover=range(outputs), batch_size=load.batch_size, seed=0)
    return _seconds_each(trainer.step(*batch) for batch in prefetched(source, 0, _WARM_UP_STEPS + _MOST_STEPS))


def _predicted_voxels_per_s(load: Load, device: Any) -> float:
    import numpy as np

    from pipeline.nn.blockwise import BlockPredictor, Normalisation
    from pipeline.nn.unet import UNet

    predictor = BlockPredictor(UNet(load.network).eval(), Normalisation(128.0, 64.0), device=device)
    core = load.middle_block

    def predict() -> None:
        read = predictor.read(lambda block: np.zeros(block.shape_zyx, np.uint8), core, load.volume_zyx)
        predictor.logits(read).cpu()

    predict()
    begun = time.perf_counter()
    predict()
    return core.voxels / max(time.perf_counter() - begun, 1e-6)


def _seconds_each(steps: Any) -> float:
    """The median of some steps, after those that warm up."""
    taken: list[float] = []
    before = time.perf_counter()
    for index, _ in enumerate(steps):
        now = time.perf_counter()
        if index >= _WARM_UP_STEPS:
            taken.append(now - before)
            if sum(taken) >= LEAST_S and len(taken) >= 3:
                break
        before = now
    return sorted(taken)[len(taken) // 2]
