"""Whether the device does what the CPU does, each difference within a tolerance that is stated.

Differences of logits are told in their standard deviations, those of losses as shares of the loss. On a CPU the device
is its own judge: then differences are zero, or those of the other precision, memory format or compiler.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from pipeline.nn.blockwise import Precision, predict_blocks
from pipeline.nn.checkpoint import pack, unpack
from pipeline.nn.merging import as_bytes
from pipeline.nn.targets import Target
from pipeline.nn.trials import NORMALISATION
from pipeline.nn.zssr.grids import Scaling
from pipeline.nn.zssr.superresolution import SuperResolution, ZssrSettings, enlarged
from pipeline.run.layout import Run
from pipeline.steps.augment import augment
from pipeline.steps.infer import infer
from pipeline.steps.plan import plan
from pipeline.steps.train import train
from pipeline.volume.geometry import Block, tile
from tests.gpu.task import CLASSES, CPU, TARGET, Outcome, Task

FLOAT32, TF32, BFLOAT16 = 1e-4, 2e-2, 0.15
"""Largest difference of a logit, in standard deviations of the logits."""
OTHER_CLASS = 0.03
"""Share of the voxels whose class may be another one in bfloat16."""
LOSS, LOSS_BFLOAT16 = 1e-3, 0.03
"""Of a loss, after some steps."""


@contextmanager
def exact_products() -> Iterator[None]:
    """Keep the card from rounding float32 to TF32, as it does in convolutions unless told."""
    former = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = former


def predictions(task: Task) -> Iterator[Outcome]:
    """Blocks against one pass over the whole volume, and the device against the CPU."""
    expected = _predicted(task, CPU)
    deviation = expected.std()

    def differs(found: Tensor) -> float:
        return float((found - expected).abs().max() / deviation)

    yield Outcome("blocks against one pass, CPU", differs(_whole(task, CPU)), "std", FLOAT32)
    with exact_products():
        yield Outcome("prediction, float32", differs(_predicted(task, task.device)), "std", FLOAT32)
        yield Outcome("blocks against one pass, float32", differs(_whole(task, task.device)), "std", FLOAT32)
        mirrored = [_predicted(task, device, mirrors="yx") for device in (CPU, task.device)]
        yield Outcome(
            "mirror images, float32", float((mirrored[0] - mirrored[1]).abs().max() / deviation), "std", FLOAT32
        )
    rounded = _predicted(task, task.device)
    yield Outcome("prediction, float32 as the device is set", differs(rounded), "std", TF32, _tf32(task.device))
    rounded = _predicted(task, task.device, precision="bfloat16")
    yield Outcome("prediction, bfloat16", differs(rounded), "std", BFLOAT16)
    other = (rounded.argmax(0) != expected.argmax(0)).float().mean()
    yield Outcome("voxels of another class, bfloat16", float(other), "", OTHER_CLASS)


def decisions(task: Task) -> Iterator[Outcome]:
    """Ids, cores and probabilities from the same logits, where the result is made."""
    logits = torch.randn(CLASSES + 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    targets = {
        "classes": (TARGET, CLASSES),
        "overlapping": (Target("multilabel", TARGET.class_ids, exclusive=False), CLASSES),
        "one against the rest": (Target("class_3", (3,), True), 1),
        "cores": (Target("multilabel", TARGET.class_ids, True, ((2, CLASSES + 1),), (0.1,)), CLASSES + 1),
    }
    for name, (target, outputs) in targets.items():
        made = []
        for device in (CPU, task.device):
            given = logits[:outputs].to(device)
            decided = target.decide(given)
            parts = [decided, as_bytes(target.probabilities(target.class_logits(given)))]
            parts += [target.core_classes(given, decided)] if target.core_logits else []
            made.append([part.cpu().to(torch.int64) for part in parts])
        # Of probabilities a byte may be rounded the other way.
        most = max(int((one - other).abs().max()) for one, other in zip(*made, strict=True))
        yield Outcome(f"decisions: {name}", most, "", 1)


def trainings(task: Task) -> Iterator[Outcome]:
    """Losses of the same steps on the same batches."""
    source = task.batches()
    batches = [source(step) for step in range(task.steps)]
    expected = task.losses(task.trainer(CPU), batches)

    def differs(losses: list[float]) -> float:
        return max(abs(loss / own - 1) for loss, own in zip(losses, expected, strict=True))

    with exact_products():
        yield Outcome("training, float32", differs(task.losses(task.trainer(task.device), batches)), "", LOSS)
    mixed = task.losses(task.trainer(task.device, precision="bfloat16"), batches)
    yield Outcome("training, mixed bfloat16", differs(mixed), "", LOSS_BFLOAT16)
    yield from _resumed(task, batches)


def _resumed(task: Task, batches: list[tuple[Tensor, Tensor]]) -> Iterator[Outcome]:
    """A state that is written, read and gone on from, against a training that was not stopped."""
    half = len(batches) // 2
    whole, first, second = (task.trainer(task.device) for _ in range(3))
    expected = task.losses(whole, batches)
    task.losses(first, batches[:half])
    second.restore(*unpack(pack(*first.state()), "state"), "state")
    found = task.losses(second, batches[half:])
    most = max(abs(a / b - 1) for a, b in zip(found, expected[half:], strict=True))
    same = pack(*whole.state()) == pack(*second.state())
    on_cpu = task.device.type == "cpu"
    note = "the same bytes" if same else "other bytes"
    yield Outcome("checkpoint and resume", most if same or not on_cpu else None, "", 0.0 if on_cpu else LOSS, note)


def channels_last(task: Task) -> Iterator[Outcome]:
    """Another memory format of weights and image changes no more than rounding does."""
    z, y, x = task.patch_zyx
    image = torch.randn(1, 1, z, y, x, generator=torch.Generator().manual_seed(0)).to(task.device)
    with torch.inference_mode(), exact_products():
        plain = task.network().to(task.device)(image)
        network = task.network().to(task.device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        found = network(image.to(memory_format=torch.channels_last_3d))
    yield Outcome("channels last", float((plain - found).abs().max() / plain.std()), "std", FLOAT32)


def compiled(task: Task) -> Iterator[Outcome]:
    """What torch.compile makes of a training, in the precision that a training has."""
    source = task.batches()
    batches = [source(step) for step in range(task.steps)]
    precision = "bfloat16" if task.device.type == "cuda" else "float32"
    eager = task.losses(task.trainer(task.device, precision=precision), batches)
    begun = time.perf_counter()
    trainer = task.trainer(task.device, precision=precision, compile="always")
    found = task.losses(trainer, batches)
    most = max(abs(a / b - 1) for a, b in zip(found, eager, strict=True))
    note = f"{precision}, {time.perf_counter() - begun:.0f} s with compiling"
    yield Outcome("torch.compile", most, "", LOSS_BFLOAT16 if precision == "bfloat16" else LOSS, note)


def superresolution(task: Task) -> Iterator[Outcome]:
    """A zero-shot network that is taught and used on the device, in grey values of 255."""
    scaling = Scaling.centred(2)
    settings = ZssrSettings(most_steps=task.steps, features=8, layers=3, patch=16, back_projections=2)
    way = SuperResolution(settings, scaling=scaling, kernel="area", seed=0)
    image = torch.from_numpy(task.volume()[0]).float()
    made = []
    for device in (CPU, task.device):
        with exact_products():
            examples = way.examples([image / 255])
            trainer = way.trainer(examples, device=device, precision=torch.float32)
            trainer.train(way.batches(examples, 0))
            network, precision = trainer.best_network(), torch.float32
            usage = way.best_usage(network, examples, device=device)
            upscaler = way.upscaler(network, usage, low=0.0, high=255.0, device=device, precision=precision)
            made.append(enlarged(image, upscaler, scaling))
    yield Outcome("super-resolution", float((made[0] - made[1]).abs().max()), "grey values", 0.5)


def preempted(task: Task) -> Iterator[Outcome]:
    """A training that is asked to stop, and started again, against one that was not: a real process, SIGTERM."""
    from tests.tinystudy import write_study

    target = "multilabel"
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        config = write_study(Path(folder), {"training": {"steps": 400, "compile": "never"}})
        whole, stopped = (str(Path(folder, name)) for name in ("whole", "stopped"))
        plan(str(config), whole)
        augment(whole)
        shutil.copytree(whole, stopped)
        train(whole, target=target)
        words = [sys.executable, "-m", "pipeline", "train", f"--target={target}", f"--run={stopped}"]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if "validation macro F1" in line:  # half of it is done
                break
        process.send_signal(signal.SIGTERM)
        process.communicate()
        train(stopped, target=target)
        ids, weights = [], []
        for url in (whole, stopped):
            infer(url, target=target)
            weights.append(Run.open(url).model_store(target).read("model.safetensors"))
            ids.append(Run.open(url).segmentation(target, "tiny").array[:])
    code = process.returncode
    yield Outcome("SIGTERM: exit code 75", abs(code - 75), "", 0, f"exit code {code}")
    note = "the same bytes" if weights[0] == weights[1] else "other bytes"
    other = float((ids[0] != ids[1]).mean())
    most = 0 if task.device.type == "cpu" else 0.05
    yield Outcome("resumed after it: voxels of another class", other, "", most, note)


CHECKS: dict[str, Callable[[Task], Iterator[Outcome]]] = {
    "predictions": predictions,
    "decisions": decisions,
    "trainings": trainings,
    "channels-last": channels_last,
    "superresolution": superresolution,
    "preempted": preempted,
    "compile": compiled,
}


def _predicted(task: Task, device: torch.device, precision: Precision = "float32", mirrors: str = "") -> Tensor:
    """Logits (C, z, y, x) of the volume, block by block."""
    volume, predictor = task.volume(), task.predictor(device, precision, mirrors)
    logits = torch.empty(CLASSES, *volume.shape)
    blocks = tile(Block.of_shape(task.checked_zyx), task.checked_block_zyx)
    for part, found in predict_blocks(predictor, lambda block: volume[block.slices], blocks, task.checked_zyx):
        logits[(slice(None), *part.slices)] = found.cpu()
    return logits


def _whole(task: Task, device: torch.device) -> Tensor:
    """The same from one pass of the network."""
    volume, stride = task.volume(), task.plan.stride_zyx
    beyond = [(0, -edge % step) for edge, step in zip(volume.shape, stride, strict=True)]
    image = torch.nn.functional.pad(
        torch.from_numpy(NORMALISATION(volume))[None, None],
        tuple(chain.from_iterable(reversed(beyond))),
        mode="replicate",
    )
    z, y, x = volume.shape
    with torch.inference_mode():
        logits: Tensor = task.network().to(device)(image.to(device))
    return logits[0, :, :z, :y, :x].cpu()


def _tf32(device: torch.device) -> str:
    return f"TF32 {'on' if torch.backends.cudnn.allow_tf32 else 'off'}" if device.type == "cuda" else ""
