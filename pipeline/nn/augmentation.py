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
from pipeline.nn.augment.draws import Deformation, SampleDraw, SectionShift, draw_sample
from pipeline.nn.augment.intensity import add_noise, adjust, apply_gamma, blur
from pipeline.nn.augment.noise import NoiseBanks
from pipeline.nn.augment.padding import cut_source_patch
from pipeline.nn.augment.planning import AugmentationPlan, Size3, Triple, plan_augmentation
from pipeline.nn.augment.rearranging import rearrange
from pipeline.nn.augment.resampling import resample, source_coordinates
from pipeline.nn.augment.sections import lose_sections
from pipeline.nn.augment.settings import AugmentationSettings
from pipeline.nn.augment.splines import spline_weights, upsample

__all__ = ["AugmentationSettings", "Augmenter", "cut_source_patch"]

# gather and flip exist for signed integers only; labels are moved, never computed with, so bits are enough.
_SIGNED_TWIN = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}


class Augmenter:
    """Turns source patches into augmented patches.

    settings: what may happen; patch_zyx: size of the patches to return, in voxels; voxel_size_nm: z, y, x.
    """

    def __init__(self, settings: AugmentationSettings, patch_zyx: Size3, voxel_size_nm: Triple) -> None:
        self.plan: AugmentationPlan = plan_augmentation(settings, patch_zyx, voxel_size_nm)
        self._weights: dict[tuple[torch.device, float], list[torch.Tensor]] = {}
        self._banks: dict[tuple[torch.device, int], NoiseBanks] = {}

    @property
    def source_patch_zyx(self) -> Size3:
        """The size of the patches to give, in voxels."""
        return self.plan.source_patch_zyx

    @property
    def margin_zyx(self) -> Size3:
        """Where, in the source patch, the patch lies that an unchanged sample returns."""
        return self.plan.margin_zyx

    def __call__(
        self, image_BCZYX: torch.Tensor, labels_BZYX: torch.Tensor, seed: int, sample_indices: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Augments a batch of source patches; the inputs stay as they are.

        image_BCZYX: float32, normalised to mean 0 and variance 1 over the data set. labels_BZYX: class ids or bit
        masks, of any integer type, 0 where nothing is labelled. seed, sample_indices (B): in [0, 2**64).
        Returns both with the patch's size. InputError when shapes or types do not fit.
        """
        self._check(image_BCZYX, labels_BZYX, sample_indices)
        samples = [
            self._augment_sample(image, labels, draw_sample(self.plan, seed, int(index)))
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
        self, image_CZYX: torch.Tensor, labels_ZYX: torch.Tensor, draw: SampleDraw
    ) -> tuple[torch.Tensor, torch.Tensor]:
        signed = labels_ZYX.view(_SIGNED_TWIN.get(labels_ZYX.dtype, labels_ZYX.dtype))
        image, labels = self._move(image_CZYX, signed, draw)
        image = self._change_intensities(image, draw)
        lose_sections(image, draw.missing)
        return image, labels.view(labels_ZYX.dtype)

    def _move(self, image: torch.Tensor, labels: torch.Tensor, draw: SampleDraw) -> tuple[torch.Tensor, torch.Tensor]:
        """The spatial part: copies of the size of the patch."""
        if draw.deformation is None:
            patch = self.plan.patch_zyx
            image, labels = rearrange(image, patch, draw), rearrange(labels, patch, draw)
        else:
            image, labels = self._deform(image, labels, draw.deformation, draw.shift)
        if draw.flips_zyx[0]:
            return image.flip(-3), labels.flip(-3)
        return image, labels

    def _deform(
        self, image: torch.Tensor, labels: torch.Tensor, deformation: Deformation, shift: SectionShift | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        plan, axes = self.plan, self.plan.resampled_axes
        weights = self._spline_weights(plan.settings.elastic_spacing_voxels, image.device)
        coordinates = source_coordinates(
            deformation,
            [plan.patch_zyx[axis] for axis in axes],
            [plan.source_patch_zyx[axis] for axis in axes],
            [weights[axis] for axis in axes],
            image.device,
        )
        if shift is None:
            return resample(image, labels, coordinates)
        slices = slice(shift.z_start, shift.z_stop)
        offset = torch.tensor((0, *shift.offset_yx)[-len(axes) :], device=image.device).reshape(-1, *[1] * len(axes))
        if plan.volumetric:
            coordinates[:, slices] += offset
            return resample(image, labels, coordinates)
        shifted = resample(image[:, slices], labels[slices], coordinates + offset)
        patch, patch_labels = resample(image, labels, coordinates)
        patch[:, slices], patch_labels[slices] = shifted
        return patch, patch_labels

    def _change_intensities(self, image: torch.Tensor, draw: SampleDraw) -> torch.Tensor:
        """Blurs, then works in place: by now the sample is a copy."""
        if draw.blur_sigma_voxels > 0:
            axes = self.plan.resampled_axes
            sigma = [self.plan.in_axis_voxels(draw.blur_sigma_voxels, axis) * (axis in axes) for axis in range(3)]
            image = blur(image, sigma)
        if draw.gamma != 1:
            apply_gamma(image, draw.gamma)
        adjust(image, draw.contrast, draw.brightness, self._unevenness(draw, image.device))
        if draw.gaussian_noise > 0 or draw.shot_noise > 0:
            noise = self._noise_banks(image).mixture(draw.noise, image.shape)
            add_noise(image, noise, draw.gaussian_noise, draw.shot_noise)
        return image

    def _unevenness(self, draw: SampleDraw, device: torch.device) -> torch.Tensor | None:
        if draw.unevenness is None:
            return None
        controls = torch.as_tensor(draw.unevenness, dtype=torch.float32, device=device)
        return upsample(controls, self._spline_weights(self.plan.settings.unevenness_spacing_voxels, device))

    def _noise_banks(self, image: torch.Tensor) -> NoiseBanks:
        """Made when first needed, since many settings have no noise."""
        key = (image.device, image.numel())
        if key not in self._banks:
            self._banks[key] = NoiseBanks(image.numel(), image.device)
        return self._banks[key]

    def _spline_weights(self, spacing_voxels: float, device: torch.device) -> list[torch.Tensor]:
        """One matrix for each of z, y, x; kept, since they are the same for every sample."""
        key = (device, spacing_voxels)
        if key not in self._weights:
            self._weights[key] = [
                spline_weights(size, self.plan.control_spacing(spacing_voxels, axis)).to(device)
                for axis, size in enumerate(self.plan.patch_zyx)
            ]
        return self._weights[key]
