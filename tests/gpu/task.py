"""What is checked and measured on a device: the usual network and its training, or a tiny one; and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.formats import markdown_table
from pipeline.nn.batches import Batch, BatchSource
from pipeline.nn.blockwise import BlockPredictor, Precision
from pipeline.nn.plan import NetworkPlan, plan_network
from pipeline.nn.sampling import LabelledBox
from pipeline.nn.targets import Target
from pipeline.nn.training import Trainer
from pipeline.nn.trials import NORMALISATION, trial_batches, trial_trainer
from pipeline.nn.unet import UNet
from pipeline.nn.unet_training import TrainingSettings, untrained
from pipeline.phantom import make_phantom
from pipeline.volume.geometry import Zyx

VOXEL_SIZE_NM = (10.0, 5.0, 5.0)
CLASSES = 8
TARGET = Target("multilabel", tuple(range(1, CLASSES + 1)), True)
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Outcome:
    """A number that was found; of a check, whether it is within its tolerance."""

    what: str
    found: float | None
    unit: str = ""
    most: float | None = None
    """Tolerance of a check; none: a measurement."""
    note: str = ""

    @property
    def passed(self) -> bool | None:
        """None for a measurement; what could not be done has not passed."""
        if self.most is None:
            return None
        return self.found is not None and self.found <= self.most

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {**asdict(self), "passed": self.passed}

    def cells(self) -> list[str]:
        """Of the table."""
        found = "" if self.found is None else f"{self.found:.3g} {self.unit}".strip()
        verdict = {None: "", True: "pass", False: "FAIL"}[self.passed]
        return [self.what, found, "" if self.most is None else f"≤ {self.most:g}", verdict, self.note]


def markdown(outcomes: list[Outcome]) -> str:
    """One table of all."""
    return markdown_table(["what", "found", "tolerance", "", "note"], [each.cells() for each in outcomes])


@dataclass(frozen=True)
class Task:
    """A network, its training and a volume to predict, for a device."""

    device: torch.device
    features: tuple[int, ...] = (16, 32, 64, 96)
    patch_zyx: Zyx = (16, 128, 128)
    batch_size: int = 2
    large_batch: int = 16
    checked_zyx: Zyx = (24, 192, 200)
    """Volume that the CPU predicts, too."""
    checked_block_zyx: Zyx = (24, 96, 104)
    measured_zyx: Zyx = (1024, 1024, 1024)
    """In the middle of which blocks are predicted."""
    window_zyx: Zyx = (128, 128, 128)
    """Of a peer."""
    steps: int = 6
    measured_steps: int = 20

    @classmethod
    def tiny(cls, device: torch.device) -> Task:
        """So small that it takes a CPU seconds."""
        return cls(
            device,
            features=(4, 6),
            patch_zyx=(4, 32, 32),
            large_batch=4,
            checked_zyx=(6, 64, 68),
            checked_block_zyx=(6, 32, 40),
            measured_zyx=(32, 64, 64),
            window_zyx=(16, 32, 32),
            steps=4,
            measured_steps=3,
        )

    @property
    def plan(self) -> NetworkPlan:
        """Of the network."""
        return plan_network(
            voxel_size_nm=VOXEL_SIZE_NM,
            extent_zyx=self.patch_zyx,
            outputs=CLASSES,
            head="softmax",
            features=self.features,
        )

    def network(self) -> UNet:
        """Untrained, with norms whose statistics do something."""
        network = untrained(self.plan, 0).eval()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                torch.nn.init.normal_(module.bias, std=0.2)
                torch.nn.init.normal_(module.running_mean, std=0.2)
        return network

    def predictor(self, device: torch.device, precision: Precision = "float32", mirrors: str = "") -> BlockPredictor:
        """Of the network."""
        axes = ["zyx".index(axis) for axis in mirrors]
        return BlockPredictor(self.network(), NORMALISATION, device=device, precision=precision, mirror_axes=axes)

    def volume(self) -> NDArray[np.uint8]:
        """Grey values of the volume that is checked."""
        return make_phantom(self.checked_zyx, seed=0).raw

    def batches(self, batch_size: int | None = None) -> BatchSource:
        """Augmented samples of a phantom."""
        z, y, x = self.patch_zyx
        phantom = make_phantom((z, 2 * y, 2 * x), seed=1)
        box = LabelledBox(phantom.raw, phantom.labels.astype(np.uint8))
        size = batch_size or self.batch_size
        return trial_batches(box, self.patch_zyx, VOXEL_SIZE_NM, classes=CLASSES, batch_size=size)

    def trainer(self, device: torch.device, **settings: Any) -> Trainer[UNet]:
        """Of a network with the same first weights each time; in float32, not compiled, unless asked for."""
        given = TrainingSettings(**{"precision": "float32", "compile": "never", **settings})
        return trial_trainer(self.plan, device, steps=10**4, settings=given)

    def losses(self, trainer: Trainer[UNet], batches: list[Batch]) -> list[float]:
        """Of a step on each batch."""
        return [trainer.step(*batch) for batch in batches]


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of some work, all of it done."""
    finish(device)
    begun = time.perf_counter()
    work()
    finish(device)
    return time.perf_counter() - begun


def finish(device: torch.device) -> None:
    """Wait until the device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize()
