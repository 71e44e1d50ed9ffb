"""How fast this machine trains and predicts with a network: measured once, and kept."""

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

from pipeline.nn.plan import NetworkPlan
from pipeline.run.machine import description
from pipeline.volume.geometry import Zyx, ZyxNm

LEAST_S = 3.0
"""That a measurement takes, once it is warm."""
BUSY = 0.5
"""Share of its threads' time that a process gets; below, other programs hold the processor."""
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
    threads: int


SpeedOf = Callable[[Load], Speed]


def measured(load: Load, say: Callable[[str], None] = lambda _text: None) -> Speed:
    """The speed of this machine: what was kept of an earlier measurement, or a new one of some ten seconds."""
    place = _kept_in() / f"{_digest(load)}.json"
    with suppress(OSError, ValueError, TypeError):
        return Speed(**json.loads(place.read_text(encoding="utf-8")))
    say(f"measuring this machine with a network of {len(load.network.levels)} levels")
    speed, is_busy = _measure(load)
    if is_busy:
        say("other programs are at work on this machine: what is measured is what it can do without them")
        return speed
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(asdict(speed)), encoding="utf-8")
    return speed


def _kept_in() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vemseg" / "speed"


def _digest(load: Load) -> str:
    machine = {key: value for key, value in description().items() if key not in ("host", "python")}
    facts: list[Any] = [machine, load.network.to_json(), load.patch_zyx, load.batch_size, load.voxel_size_nm]
    return hashlib.sha256(json.dumps([*facts, load.block_zyx, load.threads], sort_keys=True).encode()).hexdigest()[:24]


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
    from pipeline.nn.unet_training import TrainingSettings, unet_trainer

    rng, outputs = np.random.default_rng(0), load.network.outputs
    shape = tuple(2 * edge for edge in load.patch_zyx)
    box = LabelledBox(rng.integers(0, 255, shape, np.uint8), rng.integers(1, outputs + 1, shape, np.uint8))
    candidates = draw_candidates([box], count=32, patch_zyx=load.patch_zyx, n_classes=outputs, exclusive=True, seed=0)
    augmenter = Augmenter(AugmentationSettings(), load.patch_zyx, load.voxel_size_nm)
    maker = SampleMaker([box], candidates, augmenter, Normalisation(128.0, 64.0), 0)
    target = Target("speed", tuple(range(1, outputs + 1)), True)
    trainer = unet_trainer(
        load.network, target, TrainingSettings(), score=lambda _network: {}, by="", steps=1000, seed=0, device=device
    )
    source = on_the_fly(maker, cover=range(outputs), batch_size=load.batch_size, seed=0)
    return _seconds_each(trainer.step(*batch) for batch in prefetched(source, 0, _WARM_UP_STEPS + _MOST_STEPS))


def _predicted_voxels_per_s(load: Load, device: Any) -> float:
    import numpy as np

    from pipeline.nn.blockwise import BlockPredictor, Normalisation
    from pipeline.nn.unet import UNet
    from pipeline.volume.geometry import Block

    predictor = BlockPredictor(UNet(load.network).eval(), Normalisation(128.0, 64.0), device=device)
    core = Block.of_shape(load.block_zyx)
    voxels = np.zeros(load.block_zyx, np.uint8)

    def predict() -> None:
        predictor.logits(predictor.read(lambda block: voxels[block.slices], core, load.block_zyx)).cpu()

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
