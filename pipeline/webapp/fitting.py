"""Whether a model fits the voxel size of a volume, and what can be done where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

from pipeline.steps.prepare import VOXEL_SIZE_TOLERANCE
from pipeline.volume.resampling import LARGEST_RATIO
from pipeline.volume.sources.base import VoxelSize
from pipeline.webapp.catalogue import ModelCard

FACTORS = (1.1, 4.0)
"""By which boosting is offered: below there is nothing to gain, above it has nothing to go by."""
RESAMPLE = "resample"


@dataclass(frozen=True)
class Treatment:
    """What is done to a volume before it is segmented: key is a method of boosting, or `RESAMPLE`.

    voxel_size_nm: z, y, x after it; the result has these voxels.
    """

    key: str
    label: str
    explanation: str
    voxel_size_nm: VoxelSize


@dataclass(frozen=True)
class Mismatch:
    """That a model was trained at another voxel size, and the treatments that mend it; none where nothing does."""

    text: str
    treatments: tuple[Treatment, ...]


def mismatch(voxel_size_nm: VoxelSize, card: ModelCard) -> Mismatch | None:
    """What to tell a user whose voxels have another size (z, y, x) than the model knows; None where it fits."""
    trained = card.voxel_size_nm
    ratios = _ratios(voxel_size_nm, trained)
    if _fits(ratios):
        return None
    treatments = tuple(_boosting(voxel_size_nm, ratios)) or tuple(_resampling(trained, ratios))
    text = (
        f"Your voxels are {_in_words(voxel_size_nm)}, the model learnt from voxels of {_in_words(trained)}: to it, "
        "everything has another size than it knows. "
    )
    advice = (
        "Let the volume be brought to the model's voxel size first, or choose a model trained near yours."
        if treatments
        else "Choose a model that was trained near your voxel size, or check the voxel size that you entered."
    )
    return Mismatch(text + advice, treatments)


def _ratios(size_nm: VoxelSize, trained_nm: VoxelSize) -> list[float]:
    return [size / known for size, known in zip(size_nm, trained_nm, strict=True)]


def _fits(ratios: list[float]) -> bool:
    return all(1 / VOXEL_SIZE_TOLERANCE <= ratio <= VOXEL_SIZE_TOLERANCE for ratio in ratios)


def _boosting(size_nm: VoxelSize, ratios: list[float]) -> Iterator[Treatment]:
    """Boosting makes y and x finer, alike; it is offered where that is what is wrong."""
    factor = round(sqrt(ratios[1] * ratios[2]), 2)
    if not FACTORS[0] <= factor <= FACTORS[1] or not _fits([ratios[0], ratios[1] / factor, ratios[2] / factor]):
        return
    finer_nm = (size_nm[0], size_nm[1] / factor, size_nm[2] / factor)
    what = f"x and y become {factor:g} times finer"
    yield Treatment(
        "bicubic", "Interpolate", f"{what}, by smooth interpolation. Takes seconds and invents nothing.", finer_nm
    )
    yield Treatment(
        "zssr",
        "Super-resolution",
        f"{what}, by a network that first learns from your own slices. Takes minutes; sharper, but noise may be "
        "sharpened too.",
        finer_nm,
    )


def _resampling(trained_nm: VoxelSize, ratios: list[float]) -> Iterator[Treatment]:
    if all(1 / LARGEST_RATIO <= ratio <= LARGEST_RATIO for ratio in ratios):
        yield Treatment(
            RESAMPLE,
            "Resample",
            f"The volume is brought to {_in_words(trained_nm)}: averaged where that is coarser, interpolated where it "
            "is finer. The result has these voxels.",
            trained_nm,
        )


def _in_words(size_nm: VoxelSize) -> str:
    return " × ".join(f"{edge:g}" for edge in size_nm) + " nm (z, y, x)"
