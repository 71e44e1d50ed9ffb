"""What the steps import, so that a process that forks them has it ready; a list too short costs time, and nothing else.

Steps import late what not every one of their ways needs; here is what the usual way does. What starts a thread as it is
imported stays out, for a fork would have it no more: Arrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

_LEARNING = ("pipeline.nn.unet_training", "pipeline.run.training", "torch._dynamo")  # an optimiser imports the last
_SAMPLES = ("pipeline.run.samples", "pipeline.nn.batches")
_FIGURES = ("matplotlib.backends.backend_agg", "pipeline.figures.charts", "pipeline.figures.panels")
_LATE = {
    "augment": _SAMPLES,
    "train": (*_LEARNING, *_SAMPLES, "pipeline.nn.calibration", "pipeline.nn.model", "pipeline.run.validation"),
    "infer": ("pipeline.nn.blockwise", "pipeline.nn.merging", "pipeline.nn.model", "pipeline.run.tally"),
    "merge": ("pipeline.nn.merging", "pipeline.run.samples"),
    "evaluate": _FIGURES,
    "finish": _FIGURES,
    "boost.degrade": ("pipeline.nn.zssr.resampling",),
    "boost.train": (*_LEARNING, "pipeline.nn.zssr.superresolution"),
    "boost.apply": ("pipeline.nn.zssr.superresolution", "pipeline.nn.zssr.upscalers"),
    "boost.compare": _FIGURES,
    "boost.finish": _FIGURES,
}


def import_for(words: Sequence[str]) -> None:
    """Import what a command of these words will need; what cannot be imported, it will say itself."""
    names = words[: 2 if words[:1] == ["boost"] else 1]
    step = ".".join(names)
    for module in (f"pipeline.steps.{step.replace('boost.', 'boosting.')}", *_LATE.get(step, ())):
        with suppress(Exception):  # of whatever kind: it would end all steps that run
            import_module(module)
