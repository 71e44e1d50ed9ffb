"""What there is to learn for zero-shot super-resolution: which slices together, at which factors, and from where.

A lesson is one network at one factor. A stack has one network, or one a slice; with gradual factors each of them has
lessons at smaller factors before its last one, and learns from what these have reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import RunConflictError
from pipeline.nn.zssr.grids import Scaling
from pipeline.steps.boosting.degrade import coarse_digest
from pipeline.steps.boosting.layout import boosting_plan, coarse_variant, slices_of
from pipeline.steps.digest import Marker, digest
from pipeline.steps.run import Run
from pipeline.steps.runplan import CapturePlan
from pipeline.volume.geometry import Block
from pipeline.volume.stores import Store

if TYPE_CHECKING:
    from pipeline.nn.zssr.lesson import Lesson
    from pipeline.nn.zssr.upscalers import ZeroShot

NETWORKS = "super-resolution"
"""Among the run's models; no class can be called so."""
TILE_PX = 256
"""Edge of what is read of a slice at once to learn from."""
# They change how a trained network is used, and not the training: not at the last factor, that is.
SETTINGS_OF_USE = {"self_ensemble", "back_projections", "precision"}


@dataclass(frozen=True)
class Task:
    """One network to train: for these slices of a capture, at this factor, after those at smaller ones."""

    capture: CapturePlan
    slices: tuple[int, ...]
    factors: tuple[float, ...]
    """Those of the earlier lessons, and last its own."""
    name: str
    store: Store
    marker: Marker

    @property
    def factor(self) -> float:
        """Fine pixels a pixel of the capture."""
        return self.factors[-1]


def tasks(run: Run) -> Iterator[Task]:
    """All lessons, in the order in which they can be learnt."""
    for capture in run.plan.captures:
        slices = slices_of(run, capture)
        groups = [tuple(slices)] if run.config.boosting.zssr.mode == "stack" else [(z,) for z in slices]
        for group in groups:
            yield from _tasks_of(run, capture, group)


def last_tasks(run: Run, capture: CapturePlan) -> Iterator[Task]:
    """The lessons whose networks boost a capture."""
    factor = boosting_plan(run).factor
    return (task for task in tasks(run) if task.capture.name == capture.name and task.factor == factor)


def earlier_tasks(run: Run, task: Task) -> list[Task]:
    """The lessons whose results a lesson learns from."""
    return [
        other
        for other in tasks(run)
        if (other.capture.name, other.slices) == (task.capture.name, task.slices) and other.factor < task.factor
    ]


def _tasks_of(run: Run, capture: CapturePlan, slices: tuple[int, ...]) -> Iterator[Task]:
    plan, settings = boosting_plan(run), run.config.boosting.zssr
    factors = (*settings.gradual_factors, plan.factor)
    for number, factor in enumerate(factors, start=1):
        group = [f"slice_{slices[0]:04d}"] if settings.mode == "slice" else []
        stage = [] if factor == plan.factor else [f"factor_{factor:g}"]
        place = (capture.name, *group, *stage)
        # What earlier networks are used for goes into the training.
        ignored = SETTINGS_OF_USE if number == 1 else set()
        made_from = digest(
            coarse_digest(run, capture),
            slices,
            factors[:number],
            plan.learnt_kernel,
            settings.model_dump(mode="json", exclude={*ignored, "kernel", "gradual_factors"}),
            run.config.seed,
        )
        marker = run.marker("boost", "/".join(("train", *place)), made_from)
        yield Task(capture, slices, factors[:number], "-".join(place), run.model_store(NETWORKS).child(*place), marker)


def pool_of(run: Run, task: Task) -> NDArray[np.float32]:
    """Tiles (n, y, x) of the coarse slices of a lesson, from everywhere in them, as many as the settings allow for."""
    image = run.variant(coarse_variant(run), task.capture.name)
    _, *lengths = image.shape_zyx
    rows, columns = (_starts(length) for length in lengths)
    edges = [min(TILE_PX, length) for length in lengths]
    corners = [(z, y, x) for z in task.slices for y in rows for x in columns]
    allowed = max(1, int(run.config.boosting.zssr.pool_megapixels * 1e6) // (edges[0] * edges[1]))
    if len(corners) > allowed:
        order = np.random.default_rng(run.config.seed).permutation(len(corners))[:allowed]
        corners = [corners[index] for index in sorted(order.tolist())]
    tiles = [image.read(Block((z, y, x), (z + 1, y + edges[0], x + edges[1])))[0] for z, y, x in corners]
    return np.stack(tiles).astype(np.float32)


def _starts(length: int) -> list[int]:
    """Evenly spread starts of tiles that cover an axis."""
    edge = min(TILE_PX, length)
    return [int(start) for start in np.linspace(0, length - edge, -(-length // edge)).round()]


def lesson_of(run: Run, task: Task, kernel: Any) -> Lesson:
    """How a network is taught and used."""
    from pipeline.nn.zssr.lesson import Lesson
    from pipeline.nn.zssr.network import DetailPlan
    from pipeline.nn.zssr.training import Schedule

    settings = run.config.boosting.zssr
    return Lesson(
        scaling=Scaling.centred(task.factor),
        kernel=kernel,
        plan=DetailPlan(settings.features, settings.layers, settings.fold),
        schedule=Schedule(
            learning_rate=settings.learning_rate,
            lowest_learning_rate=settings.lowest_learning_rate,
            most_steps=settings.most_steps,
            batch_size=settings.batch_size,
        ),
        shrinkings=settings.shrinkings,
        patch=settings.patch,
        noise=settings.noise,
        back_projections=settings.back_projections,
        self_ensemble=settings.self_ensemble,
        seed=run.config.seed,
    )


def learnt_digest(task: Task) -> str:
    """Of a lesson's network. Raises RunConflictError when it is not trained yet."""
    facts = task.marker.facts
    if facts is None:
        raise RunConflictError(
            f"{task.store.url} holds no network for super-resolution yet; run `vemseg boost train --run ...` first"
        )
    return str(facts["weights_sha256"])


def learnt_upscaler(run: Run, task: Task) -> ZeroShot:
    """A trained network in use, on intensities of the volume. Raises RunConflictError when it is not trained yet."""
    import torch

    from pipeline.nn.checkpoint import unpack
    from pipeline.nn.device import pick_device
    from pipeline.nn.training import autocast_dtype
    from pipeline.nn.zssr.network import DetailNetwork
    from pipeline.steps.boosting.blur import as_kernel

    learnt_digest(task)
    facts = task.store.read_json("model.json")
    tensors, _ = unpack(task.store.read("model.safetensors"), f"{task.store.url}/model.safetensors")
    lesson = lesson_of(run, task, as_kernel(facts["kernel"]))
    network = DetailNetwork(lesson.plan)
    network.load_state_dict(tensors)
    device = pick_device()
    precision: torch.dtype = autocast_dtype(run.config.boosting.zssr.precision, device)
    return lesson.upscaler(network, low=facts["low"], high=facts["high"], device=device, precision=precision)
