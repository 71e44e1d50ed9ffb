"""What the plan step decided: plain data in ``plan.json`` that every later step reads."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from pipeline.nn.zssr.kernel import Blur
from pipeline.volume.geometry import Block, Zyx, ZyxNm, zyx
from pipeline.volume.greyvalues import GreyMap, GreyValues
from pipeline.volume.split import Part, Parts

Ends = tuple[Zyx, Zyx]
VALIDATION_VOXELS = 8_000_000
"""Enough to rank models and to calibrate logits; a larger validation part is thinned to whole blocks."""


class Decided(BaseModel):
    """A part of the plan: frozen and strict."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CapturePlan(Decided):
    """A capture as it stands in the run."""

    name: str
    shape_zyx: Zyx
    voxel_size_nm: ZyxNm
    digest: str
    """Of the source files and of how they were read."""
    parts: dict[Part, tuple[Ends, ...]]
    """Blocks of each part, as (start, stop); empty for a volume that is only segmented."""
    class_voxels: dict[Part, tuple[int, ...]]
    """Labelled voxels of each class in each part."""
    untold: tuple[int, ...] = ()
    """Classes that its labels do not tell from each other: what is none of the others may be any of them."""
    grey_values: GreyValues | None = None
    """As it was taken in; None where there is nothing to compare them with."""
    grey_map: GreyMap | None = None
    """What brings them to those that the network learns from; None where they stay as they are."""

    def split(self) -> Parts:
        """The blocks of the parts."""
        return Parts(*(_blocks(self.parts.get(part, ())) for part in ("train", "validation", "test")))

    @property
    def volume(self) -> Block:
        """All of it."""
        return Block.of_shape(self.shape_zyx)


class BoostingPlan(Decided):
    """How captures are made finer in x and y."""

    methods: tuple[str, ...]
    downsampled: bool
    """True: the test part of each capture is made coarse first, to be compared; False: a capture is coarse itself."""
    factor: float
    """Fine pixels a coarse pixel."""
    kernel: Blur
    """How the coarse images came about, as far as that is known."""
    learnt_kernel: Blur | Literal["estimated"]
    """What zero-shot super-resolution takes it for."""
    workers: int
    """Workers for each method."""


class RunPlan(Decided):
    """The plan of a run."""

    captures: tuple[CapturePlan, ...]
    targets: tuple[str, ...]
    """Its networks, the multilabel one first."""
    networks: dict[str, dict[str, Any]]
    """The network plan of each target, as `NetworkPlan.to_json` gives it; empty where a trained model is given."""
    starts: dict[str, str] = {}
    """Digests of the trained models that networks begin with, by target; the others begin anew."""
    intensity_mean: float
    intensity_std: float
    """Of the grey values of the training part; stored with each model."""
    grey_values: GreyValues | None = None
    """Of the training part; stored with each model. None in a run that trains nothing."""
    receptive_field_zyx: Zyx
    """Voxels that one output voxel depends on."""
    guard_zyx: Zyx
    patch_zyx: Zyx
    block_zyx: Zyx
    augment_workers: int
    infer_workers: int
    """Workers for each target."""
    boosting: BoostingPlan | None = None
    """None where nothing is boosted."""
    own_grid: bool = False
    """True: the volume was resampled for the model; it lies beside that as it came, and results are brought back."""

    def capture(self, name: str) -> CapturePlan:
        """A capture by its name."""
        return next(capture for capture in self.captures if capture.name == name)

    def class_voxels(self, part: Part) -> list[int]:
        """Labelled voxels of each class in a part, over all captures."""
        counts = [capture.class_voxels[part] for capture in self.captures if part in capture.class_voxels]
        return [sum(column) for column in zip(*counts, strict=True)]


def ends(blocks: tuple[Block, ...]) -> tuple[Ends, ...]:
    """Blocks as plain data."""
    return tuple((block.start_zyx, block.stop_zyx) for block in blocks)


def fit(wanted_zyx: Zyx, within_zyx: Zyx) -> Zyx:
    """A size cut down to what there is."""
    return zyx([min(want, limit) for want, limit in zip(wanted_zyx, within_zyx, strict=True)], "size")


def _blocks(pairs: tuple[Ends, ...]) -> tuple[Block, ...]:
    return tuple(Block(start, stop) for start, stop in pairs)
