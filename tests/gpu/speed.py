"""How fast the device trains and predicts, how much of the time its kernels run, and how much memory it takes.

Blocks are the largest that the model of memory (`pipeline.nn.slabs.sweep_bytes`) fits into what is free. Training has
batches in memory, so that it is the step that is measured; what making them takes a core stands beside it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from pipeline.nn.blockwise import BlockInput, BlockPredictor, Precision
from pipeline.nn.slabs import sweep_bytes
from pipeline.volume.geometry import Block, Zyx, zyx
from tests.gpu.task import Outcome, Task, finish, seconds

FREE_SHARE = 0.5
"""Of the free memory, that a block may take."""
CPU_BYTES = 2**30
PREDICT = Path(__file__).with_name("predict.py")


def prediction(task: Task, before: Path | None) -> Iterator[Outcome]:
    """Ours in both precisions, MONAI's sliding window where it is installed, an earlier build where it is given."""
    block_zyx = largest_block(task, 0.25 if task.device.type == "cuda" else 1.0)
    for precision in ("float32", "bfloat16"):
        yield from _ours(task, block_zyx, precision)
    yield from _monai(task)
    if before is not None:
        for name, checkout in (("this build", Path.cwd()), ("the build before", before)):
            yield from _build(task, name, checkout)


def largest_block(task: Task, share: float = 1.0) -> Zyx:
    """The largest block, half as long as the volume, that fits into the free memory of the device."""
    free = torch.cuda.mem_get_info()[0] if task.device.type == "cuda" else CPU_BYTES
    length, *_ = task.measured_zyx
    edge = task.measured_zyx[1] // 2
    while edge > 16:
        block = zyx((round(length * share / 2), edge, edge), "block")
        if sweep_bytes(task.plan, block, task.measured_zyx) <= FREE_SHARE * free:
            return block
        edge = edge * 3 // 4
    return zyx((16, 16, 16), "block")


def _ours(task: Task, block_zyx: Zyx, precision: Precision) -> Iterator[Outcome]:
    predictor = task.predictor(task.device, precision)
    block = _read(predictor, task, block_zyx)

    def predict() -> None:
        for _, logits in predictor.slabs(block):
            (logits.max(0).indices + 1).byte().cpu()

    predict()
    _forget_peak(task.device)
    took = seconds(predict, task.device)
    yield Outcome(
        f"prediction, {precision}",
        block.core.voxels / took / 1e6,
        "Mvoxel/s",
        note=f"blocks of {block_zyx}{_peak(task.device)}",
    )
    yield _in_kernels(f"kernels' share of prediction, {precision}", predict, task.device)


def _read(predictor: BlockPredictor, task: Task, block_zyx: Zyx) -> BlockInput:
    """A block in the middle of the volume, of noise."""
    start = [(edge - side) // 2 for edge, side in zip(task.measured_zyx, block_zyx, strict=True)]
    core, random = Block.of_shape(block_zyx).shift(start), np.random.default_rng(0)
    return predictor.read(lambda block: random.integers(0, 256, block.shape_zyx, np.uint8), core, task.measured_zyx)


def _monai(task: Task) -> Iterator[Outcome]:
    try:
        from monai.inferers import sliding_window_inference
    except ImportError:
        yield Outcome("MONAI's sliding window", None, note="not installed")
        return
    network = task.network().to(task.device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    network.fold_norms()
    shape = tuple(2 * edge for edge in task.window_zyx)
    image = torch.randn(1, 1, *shape).to(task.device)
    for precision in (torch.float32, torch.bfloat16):

        def predict(precision: torch.dtype = precision) -> None:
            enabled = precision != torch.float32
            with torch.inference_mode(), torch.autocast(task.device.type, precision, enabled=enabled):
                logits = sliding_window_inference(image, task.window_zyx, 4, network, overlap=0.5, mode="gaussian")
            assert isinstance(logits, torch.Tensor)
            (logits[0].max(0).indices + 1).byte().cpu()

        predict()
        _forget_peak(task.device)
        took = seconds(predict, task.device)
        name = str(precision).removeprefix("torch.")
        # In the middle of a large volume each window brings half its edge along each axis.
        windows = prod(2 * edge // (side // 2) - 1 for edge, side in zip(shape, task.window_zyx, strict=True))
        brought = windows * prod(task.window_zyx) / 8
        note = f"windows of {task.window_zyx}, overlap .5{_peak(task.device)}"
        yield Outcome(f"MONAI's sliding window, {name}", brought / took / 1e6, "Mvoxel/s", note=note)


def _build(task: Task, name: str, checkout: Path) -> Iterator[Outcome]:
    """Another checkout's prediction of blocks of the same size, in a process of its own."""
    block = ",".join(map(str, (largest_block(task, 0.25)[0] // 2, *task.window_zyx[1:])))
    words = [task.device.type, block, ",".join(map(str, task.features)), ",".join(map(str, task.measured_zyx))]
    environment = {**os.environ, "PYTHONPATH": f"{checkout}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(
        [sys.executable, str(PREDICT), *words], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        yield Outcome(f"prediction, {name}", None, note=done.stderr.strip().splitlines()[-1][:200])
        return
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    yield Outcome(f"prediction, {name}", told["voxels_per_s"] / 1e6, "Mvoxel/s", note=f"blocks of {block}, float32")


def training(task: Task) -> Iterator[Outcome]:
    """Steps of the usual batch and of a large one, as they come and compiled."""
    precision = "bfloat16" if task.device.type == "cuda" else "auto"
    kinds = [("never", task.batch_size), ("never", task.large_batch)]
    if task.device.type == "cuda":
        kinds += [("always", task.batch_size), ("always", task.large_batch)]
    for compiling, batch_size in kinds:
        batches = task.batches(batch_size)
        first = batches(0)
        trainer = task.trainer(task.device, precision=precision, compile=compiling)

        def steps(count: int, trainer: Any = trainer, batch: Any = first) -> None:
            for _ in range(count):
                trainer.step(*batch)

        steps(3)
        _forget_peak(task.device)
        took = seconds(lambda steps=steps: steps(task.measured_steps), task.device) / task.measured_steps
        how = f"batch of {batch_size}{', compiled' if compiling == 'always' else ''}"
        megavoxels = batch_size * prod(task.patch_zyx) / 1e6
        note = f"{1e3 * took:.1f} ms a step{_peak(task.device)}"
        yield Outcome(f"training, {how}", megavoxels / took, "Mvoxel/s", note=note)
        yield _in_kernels(f"kernels' share of training, {how}", lambda steps=steps: steps(3), task.device)
        made = seconds(lambda batches=batches: [batches(step) for step in range(1, 4)], torch.device("cpu")) / 3
        yield Outcome(f"making a {how}", made / took, "steps", note=f"{1e3 * made:.1f} ms of a core")


def _in_kernels(what: str, work: Callable[[], object], device: torch.device) -> Outcome:
    """The share of wall time in which kernels run; on a CPU, in which operations of torch do."""
    on_card = device.type == "cuda"
    activities = [ProfilerActivity.CUDA if on_card else ProfilerActivity.CPU]
    with profile(activities=activities) as found:
        took = seconds(work, device)
        finish(device)
    kind, field = (DeviceType.CUDA, "self_device_time_total") if on_card else (DeviceType.CPU, "self_cpu_time_total")
    inside = sum(getattr(event, field) for event in found.key_averages() if event.device_type == kind) / 1e6
    return Outcome(what, inside / took, note="" if on_card else "operations of torch")


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak(device: torch.device) -> str:
    if device.type != "cuda":
        return ""
    return f", peak {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB"


SPEEDS: dict[str, Callable[[Task, Path | None], Iterator[Outcome]]] = {
    "prediction": prediction,
    "training": lambda task, _before: training(task),
}
