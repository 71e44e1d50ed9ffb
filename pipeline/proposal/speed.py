"""How fast a machine trains and predicts with a network: this one, measured once and kept, or one of a known rate."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.nn.operations import predicting_operations, training_operations
from pipeline.nn.plan import NetworkPlan
from pipeline.run.machine import description
from pipeline.volume.geometry import Block, Zyx, ZyxNm, zyx

if TYPE_CHECKING:
    from pipeline.nn.batches import BatchSource

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

    def on(self, threads: float) -> Rate:
        """Of so many times the threads, as if each did as much."""
        return Rate(self.training * threads, self.predicting * threads)

    @classmethod
    def of(cls, speed: Speed, load: Load) -> Rate:
        """What a measured speed comes to."""
        return cls(
            load.training_operations / speed.step_s, speed.predicted_voxels_per_s * load.operations_a_predicted_voxel
        )

    @classmethod
    def known(cls, threads: int) -> Rate:
        """Of this machine, by whatever was measured last with so many threads; before that, of any machine."""
        with suppress(OSError, ValueError, TypeError):
            return cls(**json.loads(_place([_machine(), threads]).read_text(encoding="utf-8")))
        return cls.common(threads)

    def speed(self, load: Load) -> Speed:
        """Of a load at this rate."""
        return Speed(load.training_operations / self.training, self.predicting / load.operations_a_predicted_voxel)


SpeedOf = Callable[[Load], Speed]


def measured(load: Load, say: Callable[[str], None] = lambda _text: None) -> Speed:
    """The speed of this machine: what was kept of an earlier measurement, or a new one of some ten seconds."""
    return kept(load) or measured_anew(load, say)


def measured_anew(load: Load, say: Callable[[str], None] = lambda _text: None) -> Speed:
    """Measure this machine, and keep what comes of it for `measured`, `kept` and `Rate.known`."""
    features = ", ".join(str(level.features) for level in load.network.levels)
    say(f"measuring this machine with a network of {features} channels")
    speed, is_busy = _measure(load)
    if is_busy:
        say("other programs are at work on this machine: what is measured is what it can do without them")
        return speed
    with suppress(OSError):
        for facts, found in ((_facts(load), asdict(speed)), ([_machine(), load.threads], asdict(Rate.of(speed, load)))):
            place = _place(facts)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(found), encoding="utf-8")
    return speed


def kept(load: Load) -> Speed | None:
    """What was kept of an earlier measurement of this machine."""
    with suppress(OSError, ValueError, TypeError):
        return Speed(**json.loads(_place(_facts(load)).read_text(encoding="utf-8")))
    return None


def _place(facts: list[Any]) -> Path:
    """Of what is kept for these facts."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vemseg" / "speed"
    return folder / f"{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]}.json"


def _machine() -> dict[str, Any]:
    """What a speed holds for; the same before torch is imported, which takes seconds, and after it."""
    known = ("processor", "cores", "memory_bytes")
    facts: dict[str, Any] = {key: value for key, value in description().items() if key in known}
    gpus = sorted(device.name for device in Path("/dev").glob("nvidia[0-9]*"))
    return facts | {"torch": version("torch"), "gpus": gpus, "visible": os.environ.get("CUDA_VISIBLE_DEVICES")}


def _facts(load: Load) -> list[Any]:
    facts: list[Any] = [_machine(), load.network.to_json(), load.patch_zyx, load.batch_size, load.voxel_size_nm]
    return [*facts, load.block_zyx, load.volume_zyx, load.threads]


def batch_s(load: Load) -> float:
    """Seconds of the processor in which the samples of a training step are made, the median of some."""
    with _alone(load):
        source = _batches(load)
        return _seconds_each((source(step) for step in range(_WARM_UP_STEPS + _MOST_STEPS)), time.process_time)


def _measure(load: Load) -> tuple[Speed, bool]:
    """The speed, and whether others held the processor meanwhile."""
    from pipeline.nn.device import pick_device

    device = pick_device()
    with _alone(load) as share:
        found = Speed(_step_s(load, device), _predicted_voxels_per_s(load, device))
    if device.type == "cpu" and share[0] < BUSY:
        return Speed(found.step_s * share[0], found.predicted_voxels_per_s / share[0]), True
    return found, False


@contextmanager
def _alone(load: Load) -> Iterator[list[float]]:
    """Compute with the threads of a load; in the end, the share of their time that this process got."""
    import torch

    from pipeline.nn.device import keep_freed_memory

    keep_freed_memory()
    former, share = torch.get_num_threads(), [1.0]
    torch.set_num_threads(load.threads)
    try:
        wall, computed = time.perf_counter(), time.process_time()
        yield share
        share[0] = (time.process_time() - computed) / (time.perf_counter() - wall) / load.threads
    finally:
        torch.set_num_threads(former)


def _step_s(load: Load, device: Any) -> float:
    from pipeline.nn.batches import prefetched
    from pipeline.nn.trials import trial_trainer

    trainer = trial_trainer(load.network, device, steps=1000)
    batches = prefetched(_batches(load), 0, _WARM_UP_STEPS + _MOST_STEPS)
    return _seconds_each(trainer.step(*batch) for batch in batches)


def _batches(load: Load) -> BatchSource:
    """Samples of noise."""
    import numpy as np

    from pipeline.nn.sampling import LabelledBox
    from pipeline.nn.trials import trial_batches

    rng, classes = np.random.default_rng(0), load.network.outputs
    shape = tuple(2 * edge for edge in load.patch_zyx)
    box = LabelledBox(rng.integers(0, 255, shape, np.uint8), rng.integers(1, classes + 1, shape, np.uint8))
    return trial_batches(box, load.patch_zyx, load.voxel_size_nm, classes=classes, batch_size=load.batch_size)


def _predicted_voxels_per_s(load: Load, device: Any) -> float:
    import numpy as np

    from pipeline.nn.blockwise import BlockPredictor
    from pipeline.nn.trials import NORMALISATION
    from pipeline.nn.unet import UNet

    predictor = BlockPredictor(UNet(load.network).eval(), NORMALISATION, device=device)
    core, noise = load.middle_block, np.random.default_rng(0).integers(0, 256, 2**20, dtype=np.uint8)

    def predict() -> None:
        read = predictor.read(lambda block: np.resize(noise, block.shape_zyx), core, load.volume_zyx)
        predictor.logits(read).cpu()

    predict()
    begun = time.perf_counter()
    predict()
    return core.voxels / max(time.perf_counter() - begun, 1e-6)


def _seconds_each(steps: Any, clock: Callable[[], float] = time.perf_counter) -> float:
    """The median of some steps, after those that warm up."""
    taken: list[float] = []
    before = clock()
    for index, _ in enumerate(steps):
        now = clock()
        if index >= _WARM_UP_STEPS:
            taken.append(now - before)
            if sum(taken) >= LEAST_S and len(taken) >= 3:
                break
        before = now
    return sorted(taken)[len(taken) // 2]
