"""Augmentation as one batched layer, on whatever device its input is on.

The layer is given a source patch larger than the patch it returns, so that rotation, scale and elastic deformation
have real tissue to draw on. What happens to a sample is a function of (seed, sample index) alone: the same bits come
out whatever the batch size, the order or the number of devices.

    source patch ──mirror, quarter turn──shift slices──┬─deform─blur─gamma─contrast─noise─lose slices──> image
                         (exact)                       └─deform (nearest, same coordinates)───────────> labels
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pipeline.errors import InputError
from pipeline.nn.augment.draws import SampleStream
from pipeline.nn.augment.intensity import Grader, IntensityDraw, draw_intensity
from pipeline.nn.augment.planning import AugmentationPlan, ControlGrids, plan_augmentation
from pipeline.nn.augment.settings import AugmentationSettings
from pipeline.nn.augment.spatial import Mover, SpatialDraw, draw_spatial
from pipeline.volume.geometry import Zyx, ZyxNm

# gather and flip exist for signed integers only; labels are moved, never computed with, so bits are enough.
_SIGNED_TWIN = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}


class Augmenter:
    """Turns source patches into augmented patches.

    Args:
        settings: what may happen.
        patch_zyx: size of the patches to return, in voxels.
        voxel_size_nm: z, y, x.
    """

    def __init__(self, settings: AugmentationSettings, patch_zyx: Zyx, voxel_size_nm: ZyxNm) -> None:
        self.plan: AugmentationPlan = plan_augmentation(settings, patch_zyx, voxel_size_nm)
        grids = ControlGrids(self.plan)
        self._move, self._grade = Mover(self.plan, grids), Grader(self.plan, grids)

    @property
    def source_patch_zyx(self) -> Zyx:
        """The size of the patches to give, in voxels."""
        return self.plan.source_patch_zyx

    @property
    def margin_zyx(self) -> Zyx:
        """Where, in the source patch, the patch lies that an unchanged sample returns."""
        return self.plan.margin_zyx

    def __call__(
        self, image_BCZYX: torch.Tensor, labels_BZYX: torch.Tensor, seed: int, sample_indices: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Augments a batch of source patches; the inputs stay as they are.

        Args:
            image_BCZYX: float32, normalised to mean 0 and variance 1 over the data set.
            labels_BZYX: class ids or bit masks, of any integer type, 0 where nothing is labelled.
            seed: in [0, 2**64).
            sample_indices: of each sample, in [0, 2**64).

        Returns:
            Both with the patch's size.

        Raises:
            InputError: shapes or types do not fit.
        """
        self._check(image_BCZYX, labels_BZYX, sample_indices)
        samples = [
            self._augment_sample(image, labels, seed, int(index))
            for image, labels, index in zip(image_BCZYX, labels_BZYX, sample_indices, strict=True)
        ]
        images, labels = zip(*samples, strict=True)
        return torch.stack(images), torch.stack(labels)

    def _check(self, image: torch.Tensor, labels: torch.Tensor, sample_indices: Sequence[int]) -> None:
        if image.dtype != torch.float32 or image.ndim != 5:
            shape = tuple(image.shape)
            raise InputError(f"augmentation: the image must be float32 (B, C, z, y, x), not {image.dtype} {shape}")
        if labels.is_floating_point() or labels.dtype == torch.bool:
            raise InputError(f"augmentation: labels must be integers, not {labels.dtype}")
        expected = (len(sample_indices), *self.source_patch_zyx)
        if (image.shape[0], *image.shape[2:]) != expected or labels.shape != expected:
            raise InputError(
                f"augmentation: {len(sample_indices)} samples with source patches {self.source_patch_zyx} expected, "
                f"image {tuple(image.shape)} and labels {tuple(labels.shape)} given"
            )

    def _augment_sample(
        self, image_CZYX: torch.Tensor, labels_ZYX: torch.Tensor, seed: int, sample_index: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        where, grey = draw_sample(self.plan, seed, sample_index)
        signed = labels_ZYX.view(_SIGNED_TWIN.get(labels_ZYX.dtype, labels_ZYX.dtype))
        image, labels = self._move(image_CZYX, signed, where)
        return self._grade(image, grey), labels.view(labels_ZYX.dtype)


def draw_sample(plan: AugmentationPlan, seed: int, sample_index: int) -> tuple[SpatialDraw, IntensityDraw]:
    """What happens to sample `sample_index` under `seed`; InputError unless both are in [0, 2**64)."""
    stream = SampleStream(seed, sample_index)
    return draw_spatial(plan, stream), draw_intensity(plan, stream)
