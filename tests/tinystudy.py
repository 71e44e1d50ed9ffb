"""A study that takes seconds: a capture with three classes by brightness, and the steps that work on it.

Processes that are to die come from multiprocessing's fork server, which has imported torch once for all of them.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Any

import numpy as np
import tifffile
import yaml
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pipeline.config.model import MULTILABEL
from pipeline.run.layout import Run
from pipeline.steps.augment import augment
from pipeline.steps.boosting.apply import apply
from pipeline.steps.boosting.compare import compare
from pipeline.steps.boosting.degrade import degrade
from pipeline.steps.boosting.train import train as train_zssr
from pipeline.steps.evaluate import evaluate
from pipeline.steps.infer import infer
from pipeline.steps.merge import merge
from pipeline.steps.plan import plan
from pipeline.steps.train import train
from pipeline.volume.omezarr import Volume
from pipeline.volume.stores import Store
from pipeline.volume.zarrstore import ObstoreZarr

NAMES = ("dark", "grey", "bright")
SHAPE_ZYX = (4, 64, 160)
VOXEL_SIZE_NM = (40, 8, 8)
CONFIG: dict[str, Any] = {
    "name": "tiny",
    "data": {
        "captures": [{"name": "tiny", "raw": "raw.tif", "labels": "labels.tif", "voxel_size_nm": list(VOXEL_SIZE_NM)}]
    },
    "classes": {
        "members": [
            {"name": name, "ids": [number], "color": color}
            for number, (name, color) in enumerate(zip(NAMES, ("#5b6b7b", "#e6194b", "#3cb44b"), strict=True), 1)
        ]
    },
    "augmentation": {"pool_samples": 8},
    "network": {"features": [4, 6], "z_context_slices": 0},
    "training": {
        "patch_zyx": [2, 32, 32],
        "steps": 8,
        "binary_steps": 4,
        "validations": 2,
        "learning_rate": 0.02,
        "targets": "multilabel",
    },
    "inference": {"block_zyx": [4, 32, 32], "shard_zyx": [2, 32, 32]},
    "boosting": {"methods": []},
    "evaluation": {"figure_slices": [1], "renders": False},
}
ZSSR: dict[str, Any] = {
    "most_steps": 20,
    "features": 8,
    "layers": 3,
    "patch": 16,
    "shrinkings": [1.25],
    "back_projections": 2,
}
"""Learnt in a second; what it learns is of no matter."""
BOOSTING: dict[str, Any] = {
    "boosting": {"methods": ["bilinear", "bicubic", "zssr"], "comparison_block_zyx": [1, 16, 16], "zssr": ZSSR}
}
"""Changes that make the tiny study boost its test part."""

INSTANCES: dict[str, Any] = {
    "classes": {
        "members": [
            {"name": "membranes", "ids": [1]},
            {"name": "grey", "ids": [2], "instances": True, "rim_nm": 9},
            {"name": "bright", "ids": [3], "instances": True, "rim_nm": 12},
        ]
    },
    "inference": {"region": "all", "reach_nm": 60},
    "training": {"steps": 120},
}
"""Changes that make the tiny study tell the objects of two classes apart."""


def tissue(shape_zyx: Sequence[int] = SHAPE_ZYX, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Grey values and class ids 1 to 3: blobs, each class of its own brightness, with noise."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(size=shape_zyx), (0.5, 4, 4))
    labels = np.digitize(field, np.quantile(field, [0.5, 0.85])) + 1
    grey = np.choose(labels - 1, [60, 130, 200]) + rng.normal(scale=15, size=shape_zyx)
    return grey.clip(0, 255).astype(np.uint8), labels.astype(np.uint8)


def write_tiff(path: Path, data: NDArray[Any]) -> None:
    """A multi-page greyscale TIFF."""
    tifffile.imwrite(path, data, photometric="minisblack")


def write_study(folder: Path, changes: Mapping[str, Any] | None = None, *, name: str = "study.yaml") -> Path:
    """Write the configuration, with changes merged into it, beside the capture, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "raw.tif").exists():
        raw, labels = tissue()
        write_tiff(folder / "raw.tif", raw)
        write_tiff(folder / "labels.tif", labels)
    path = folder / name
    path.write_text(yaml.safe_dump(_merged(CONFIG, changes or {})))
    return path


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {**base} | {
        key: _merged(base[key], value) if isinstance(value, Mapping) and isinstance(base.get(key), Mapping) else value
        for key, value in changes.items()
    }


def run_chain(config: Path, run_url: str | Path, *, workers: int = 1, update: bool = False, score: bool = True) -> Run:
    """The steps of a study, in this process; figures take longest, and can be left out with the scores."""
    url = str(run_url)
    decided = plan(str(config), url, update=update)
    for worker in range(workers):
        augment(url, worker=worker, workers=workers)
    for target in decided.targets:
        train(url, target=target)
        for worker in range(workers):
            infer(url, target=target, worker=worker, workers=workers)
    if Run.open(url).config.inference.merged:
        for worker in range(workers):
            merge(url, worker=worker, workers=workers)
    if decided.boosting:
        boost(url, decided.boosting.methods, workers=workers)
    if score:
        evaluate(url)
    if score and decided.boosting:
        compare(url)
    return Run.open(url)


def boost(url: str, methods: Sequence[str], *, workers: int = 1) -> None:
    """The steps from a planned study to predictions of its boosted test part."""
    degrade(url)
    if "zssr" in methods:
        train_zssr(url)
    for method in methods:
        for worker in range(workers):
            apply(url, method=method, worker=worker, workers=workers)
        for worker in range(workers):
            infer(url, target=MULTILABEL, variant=method, worker=worker, workers=workers)


def place(run: Run) -> Path:
    """The folder of a local run."""
    path = run.store.local_path()
    assert path is not None
    return path


def whole(volume: Volume) -> NDArray[Any]:
    """All voxels of a small volume."""
    return volume.read(volume.geometry.block)


TELLING_TIMES = ("events", "metrics", "workflow", "summary.json", "summary.md", "inputs.json")


def files(root: Path, *, without: Sequence[str] = TELLING_TIMES) -> dict[str, bytes]:
    """Every file below a folder, but for files and folders that tell times."""
    paths = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in paths
        if not any(path.relative_to(root).is_relative_to(name) for name in without)
    }


def markers(run: Path, step: str) -> dict[str, int]:
    """The done-markers of a step, and when each was written (ns)."""
    root = run / "done" / step
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in sorted(root.rglob("*.json"))}


@dataclass(frozen=True)
class Finished:
    """How a process ended: its exit code (minus the signal that killed it) and all that it printed."""

    code: int
    text: str


class Child:
    """A command line in a process of its own: of vemseg, or ``chain CONFIG RUN`` for all steps.

    A last word ``die-after=n`` or ``stop-after=n`` has it send itself SIGKILL or SIGTERM after n writes to the run;
    ``hour-before`` has its clock go an hour slow; ``in-group=FILE`` has it join a control group; ``with=JSON`` gives it
    variables of the environment, which the fork server had not when it started.
    """

    def __init__(self, log: Path, *words: str | Path) -> None:
        self.log = log
        log.unlink(missing_ok=True)
        self.process: ForkServerProcess = _CONTEXT.Process(target=_command, args=(log, [str(word) for word in words]))
        self.process.start()

    def end(self, timeout_s: float = 120.0) -> Finished:
        """Wait for its end."""
        self.process.join(timeout_s)
        assert self.process.exitcode is not None, f"still at work after {timeout_s} s"
        return Finished(self.process.exitcode, self.log.read_text() if self.log.exists() else "")


_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "__main__",
        "tinystudy",
        "torch._dynamo",  # the optimiser's first step imports it
        *("pipeline.nn.calibration", "pipeline.nn.model", "pipeline.nn.zssr.superresolution"),
        *("pipeline.run.samples", "pipeline.figures.panels"),
    ]
)


def _signal_after(writes: int, number: Signals) -> None:
    """Send a signal to this process once it has written so many objects."""
    left = iter(range(writes - 1, -1, -1))

    def count() -> None:
        if next(left, None) == 0:
            os.kill(os.getpid(), number)

    write, set_key = Store.write, ObstoreZarr.set

    def counted_write(self: Store, key: str, data: bytes) -> None:
        write(self, key, data)
        count()

    async def counted_set(self: ObstoreZarr, key: str, value: Any) -> None:
        await set_key(self, key, value)
        count()

    Store.write, ObstoreZarr.set = counted_write, counted_set  # type: ignore[method-assign]


def _set_clock_back(by_s: int) -> None:
    """Python's clock of day; file times are the kernel's own and stay."""
    now, now_ns = time.time, time.time_ns
    time.time = lambda: now() - by_s
    time.time_ns = lambda: now_ns() - by_s * 10**9


def _command(log: Path, words: list[str]) -> None:
    with log.open("wb") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    if words[-1].startswith(("die-after=", "stop-after=")):
        _signal_after(int(words[-1].partition("=")[2]), SIGKILL if words.pop().startswith("die") else SIGTERM)
    elif words[-1] == "hour-before":
        _set_clock_back(3600)
        words.pop()
    elif words[-1].startswith("with="):
        os.environ |= json.loads(words.pop().partition("=")[2])
    elif words[-1].startswith("in-group="):
        Path(words.pop().partition("=")[2]).write_text(str(os.getpid()))
    sys.argv = ["vemseg", *words]
    if words[0] == "chain":
        run_chain(Path(words[1]), words[2], workers=2)
        return
    from pipeline.cli.main import main

    main()
