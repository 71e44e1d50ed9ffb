"""Inference of a study: all nine targets by one worker, beside nine times the multilabel one; and what padding saves.

The demo's phantom and plan, its networks untrained, which takes as long.

1. `vemseg infer` of all targets in one process against nine times that of the multilabel one, processor and wall time:
   what a pod, or a command, costs.
2. The same within a process that has imported everything, as `vemseg run` forks its steps: what is left is computing,
   of which nine networks have nothing in common.
3. A volume of which half is of one grey value, against the same size full of tissue.

    .venv/bin/python -m tests.bench.bench_study
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import torch

from pipeline.config.model import MULTILABEL
from pipeline.nn.blockwise import BlockPredictor, Normalisation, predict_blocks
from pipeline.nn.calibration import Confidence
from pipeline.nn.device import keep_freed_memory
from pipeline.nn.model import Model
from pipeline.nn.plan import NetworkPlan
from pipeline.nn.unet import UNet
from pipeline.run import provenance
from pipeline.run.layout import Run
from pipeline.run.samples import normalisation, target_of
from pipeline.steps.infer import infer
from pipeline.steps.phantom import write_phantom
from pipeline.steps.plan import plan
from pipeline.volume.geometry import Block
from tests.bench.table import Row, options, show

SHAPE_ZYX = (16, 256, 640)
TARGETS = 9
MOST, MOST_OF_PADDED = 0.85, 0.6
Cost = tuple[float, float]
"""Seconds of the processor, and of the clock."""


def planned(folder: Path) -> Run:
    """A run of the demo whose networks are as they were drawn."""
    write_phantom(folder / "capture", SHAPE_ZYX, seed=0, example="demo", touching=False)
    url = str(folder / "run")
    plan(str(folder / "capture" / "study.yaml"), url)
    run = Run.open(url)
    for seed, name in enumerate(run.plan.targets):
        target, network = target_of(run, name), untrained(run, name, seed)
        model = Model(network, target, normalisation(run), Confidence.as_it_is(len(target.class_ids)), {})
        weights = model.weights_file()
        with provenance.model(run, name).making():
            run.model_store(name).write("model.safetensors", weights)
            run.model_store(name).write_json("model.json", model.json_file(weights))
    assert len(run.plan.targets) == TARGETS
    return run


def untrained(run: Run, target: str, seed: int) -> UNet:
    torch.manual_seed(seed)
    return UNet(NetworkPlan.from_json(run.plan.networks[target])).eval()


def cost(work: Callable[[], object], whose: int = resource.RUSAGE_SELF) -> Cost:
    """What a piece of work takes, of this process or of its children."""
    used, began = resource.getrusage(whose), time.perf_counter()
    work()
    wall_s, after = time.perf_counter() - began, resource.getrusage(whose)
    return after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime, wall_s


def by_command(run: Run, target: str) -> Cost:
    """Of a process that predicts, from its start to its end."""
    run.store.delete_all("done/infer")
    command = [sys.executable, "-m", "pipeline", "infer", "--run", run.store.url, "--target", target]
    return cost(lambda: subprocess.run(command, check=True, capture_output=True), resource.RUSAGE_CHILDREN)


def within(run: Run, target: str) -> Cost:
    """The same without the start."""
    run.store.delete_all("done/infer")
    with redirect_stdout(StringIO()):
        return cost(lambda: infer(run.store.url, target=target))


def compared(what: str, note: str, turns: int, once: Callable[[str], Cost], run: Run) -> Iterator[Row]:
    pairs = [(once(",".join(run.plan.targets)), once(MULTILABEL)) for _ in range(turns)]
    for index, kind in enumerate(("processor", "wall")):
        ours, theirs = (tuple(side[index] for side in sides) for sides in zip(*pairs, strict=True))
        nine = tuple(TARGETS * seconds for seconds in theirs)
        yield Row(f"{what}, {kind} time", "9 × the multilabel one", "s", ours, nine, MOST, True, note)


def padded(run: Run, turns: int) -> Row:
    """A volume half of which is of one grey value, beside one full of noise."""
    full = np.random.default_rng(0).integers(0, 256, SHAPE_ZYX, dtype=np.uint8)
    half = full.copy()
    half[..., SHAPE_ZYX[2] // 2 :] = 0

    def predict(volume: np.ndarray) -> float:
        network, blocks = untrained(run, MULTILABEL, 0), [Block.of_shape(SHAPE_ZYX)]
        predictor = BlockPredictor(network, Normalisation(128.0, 50.0), device=torch.device("cpu"))
        found = predict_blocks(predictor, lambda block: volume[block.slices], blocks, SHAPE_ZYX)
        return cost(lambda: [logits_CZYX.max(0) for _, logits_CZYX in found])[0]

    predict(full)
    ours, theirs = zip(*((predict(half), predict(full)) for _ in range(turns)), strict=True)
    return Row("a volume half of padding, processor time", "one of tissue", "s", ours, theirs, MOST_OF_PADDED, True)


def rows(turns: int) -> Iterator[Row]:
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        with redirect_stdout(StringIO()):
            run = planned(Path(folder))
        yield from compared("nine targets by one command", "", turns, lambda target: by_command(run, target), run)
        within(run, MULTILABEL)  # fills caches
        what = "nine targets in a process that has imported"
        yield from compared(what, "computing alone", turns, lambda target: within(run, target), run)
        yield padded(run, turns)


def main() -> None:
    asked = options(__doc__, repetitions=3).parse_args()
    torch.set_num_threads(asked.threads)
    show(rows(asked.repetitions), asked)


if __name__ == "__main__":
    main()
