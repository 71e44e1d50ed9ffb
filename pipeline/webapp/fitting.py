"""Whether a model fits the voxel size of a volume, and what can be done where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

from pipeline.steps.prepare import VOXEL_SIZE_TOLERANCE
from pipeline.volume.sources.base import VoxelSize
from pipeline.webapp.catalogue import ModelCard

FACTORS = (1.1, 4.0)
"""By which boosting is offered: below there is nothing to gain, above it has nothing to go by."""


@dataclass(frozen=True)
class Treatment:
    """What is done to a volume before it is segmented: key is a method of boosting, factor by how much in x and y."""

    key: str
    label: str
    explanation: str
    factor: float


@dataclass(frozen=True)
class Mismatch:
    """That a model was trained at another voxel size, and the treatments that mend it; none where nothing does."""

    text: str
    treatments: tuple[Treatment, ...]


def mismatch(voxel_size_nm: VoxelSize, card: ModelCard) -> Mismatch | None:
    """What to tell a user whose voxels have another size (z, y, x) than the model knows; None where it fits."""
    trained = card.voxel_size_nm
    ratios = [size / known for size, known in zip(voxel_size_nm, trained, strict=True)]
    if _fits(ratios):
        return None
    treatments = tuple(_boosting(ratios))
    text = (
        f"Your voxels are {_in_words(voxel_size_nm)}, the model learnt from voxels of {_in_words(trained)}: everything "
        f"has another size for it than it knows. "
    )
    advice = (
        "Let the volume be made finer first, or choose a model that was trained near your voxel size."
        if treatments
        else "Choose a model that was trained near your voxel size, or check the voxel size that you entered."
    )
    return Mismatch(text + advice, treatments)


def _fits(ratios: list[float]) -> bool:
    return all(1 / VOXEL_SIZE_TOLERANCE <= ratio <= VOXEL_SIZE_TOLERANCE for ratio in ratios)


def _boosting(ratios: list[float]) -> Iterator[Treatment]:
    """Boosting makes y and x finer, alike; it is offered where that is what is wrong."""
    z, y, x = ratios
    factor = round(sqrt(y * x), 2)
    if not FACTORS[0] <= factor <= FACTORS[1] or not _fits([z, y / factor, x / factor]):
        return
    finer = f"x and y become {factor:g} times finer"
    yield Treatment(
        "bicubic", "Interpolate", f"{finer}, by smooth interpolation. Takes seconds and invents nothing.", factor
    )
    yield Treatment(
        "zssr",
        "Super-resolution",
        f"{finer}, by a network that first learns from your own slices. Takes minutes; sharper, but noise may be "
        "sharpened too.",
        factor,
    )


def _in_words(size_nm: VoxelSize) -> str:
    return " × ".join(f"{edge:g}" for edge in size_nm) + " nm (z, y, x)"
