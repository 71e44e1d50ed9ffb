"""Speed of the augmentation layer against batchgeneratorsv2 and MONAI: same transforms, source patch and threads.

Every transform that all three have happens to every sample: mirror, rotation, scale, elastic deformation, blur, gamma,
contrast, brightness and Gaussian noise, labels by the nearest neighbour. Where ours stays within the slices, the
others run twice: in 3-D, rotating about z alone, and "folded", with the slices given as channels of a 2-D image, the
fastest way in which they can be made to do the same.
Times are processor time a sample, so that other programs count little.

    make bench-setup && .venv/bin/python -m tests.bench.bench_augmentation
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import monai.transforms as mt
import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.brightness import BrightnessAdditiveTransform
from batchgeneratorsv2.transforms.intensity.contrast import ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform, Convert3DTo2DTransform

from pipeline.nn.augment.layer import Augmenter
from pipeline.nn.augment.settings import AugmentationSettings
from tests.bench.table import Row, options, show

BATCH = 2
BATCHES = 4
"""How many batches one repetition augments: as in training, one after the other."""
CASES = {
    "volume 32 x 128 x 128, 8 nm": ((32, 128, 128), (8.0, 8.0, 8.0)),
    "slices 32 x 128 x 128, 40 x 8 x 8 nm": ((32, 128, 128), (40.0, 8.0, 8.0)),
    "slice 1 x 256 x 256": ((1, 256, 256), (40.0, 8.0, 8.0)),
}
SETTINGS = replace(
    AugmentationSettings.off(),
    flip_probability_zyx=(0.5, 0.5, 0.5),
    rotation_probability=1.0,
    tilt_probability=1.0,
    scale_probability=1.0,
    elastic_probability=1.0,
    blur_probability=1.0,
    gamma_probability=1.0,
    contrast_probability=1.0,
    brightness_probability=1.0,
    gaussian_noise_probability=1.0,
)
# What one repetition augments: a batch of source patches (B, 1, z, y, x) and their labels (B, z, y, x).
Run = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def ours(augmenter: Augmenter) -> Run:
    count = iter(range(0, 2**62, BATCH))

    def run(image: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first = next(count)
        return augmenter(image, labels, 0, range(first, first + BATCH))

    return run


def batchgenerators(augmenter: Augmenter, folded: bool) -> Run:
    patch, turn = augmenter.plan.patch_zyx, np.pi
    tilt = np.radians(SETTINGS.tilt_degrees) if augmenter.plan.volumetric else 0.0

    def angle(image: torch.Tensor, dim: int) -> float:
        largest = turn if dim == 0 else tilt
        return float(np.random.uniform(-largest, largest))

    spatial = SpatialTransform(
        patch[1:] if folded else patch,
        patch_center_dist_from_border=0,
        random_crop=False,
        p_elastic_deform=1,
        elastic_deform_magnitude=(0, SETTINGS.elastic_amplitude_voxels),
        p_rotation=1,
        rotation=(-turn, turn) if folded else angle,
        p_scaling=1,
        scaling=SETTINGS.scale_range,
        p_synchronize_scaling_across_axes=1,
        mode_seg="nearest",
    )
    blur = GaussianBlurTransform(SETTINGS.blur_sigma_voxels, synchronize_channels=True, synchronize_axes=True)
    moving: list[BasicTransform] = [spatial, blur]
    if folded:
        moving = [Convert3DTo2DTransform(), *moving, Convert2DTo3DTransform()]
    transform = ComposeTransforms(
        [
            *moving,
            MirrorTransform((0, 1, 2)),
            GammaTransform(SETTINGS.gamma_range, 0, True, 1, p_retain_stats=0),
            ContrastTransform(SETTINGS.contrast_range, preserve_range=False, synchronize_channels=True),
            BrightnessAdditiveTransform(0, SETTINGS.brightness_max),
            GaussianNoiseTransform((0, SETTINGS.gaussian_noise_max**2)),
        ]
    )

    def run(image: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        done = [transform(image=x, segmentation=y[None]) for x, y in zip(image, labels, strict=True)]
        return torch.stack([d["image"] for d in done]), torch.stack([d["segmentation"][0] for d in done])

    return run


def monai(augmenter: Augmenter, folded: bool) -> Run:
    patch, keys = augmenter.plan.patch_zyx, ["image", "labels"]
    tilt = np.radians(SETTINGS.tilt_degrees) if augmenter.plan.volumetric else 0.0
    scale = tuple(factor - 1 for factor in SETTINGS.scale_range)
    magnitude = (0.0, SETTINGS.elastic_amplitude_voxels)
    common = {"prob": 1.0, "mode": ("bilinear", "nearest"), "padding_mode": "border"}
    if folded:
        spacing = SETTINGS.elastic_spacing_voxels
        spatial = mt.Rand2DElasticd(
            keys, spacing, magnitude, patch[1:], rotate_range=np.pi, scale_range=[scale] * 2, **common
        )
    else:
        turns = [np.pi, tilt, tilt]
        spatial = mt.Rand3DElasticd(
            keys, (5, 8), magnitude, patch, rotate_range=turns, scale_range=[scale] * 3, **common
        )
    transform = mt.Compose(
        [
            spatial,
            *(mt.RandFlipd(keys, 0.5, axis) for axis in range(2 if folded else 3)),
            mt.RandGaussianSmoothd(["image"], *[SETTINGS.blur_sigma_voxels] * 3, prob=1.0),
            mt.RandAdjustContrastd(["image"], 1.0, SETTINGS.gamma_range),
            mt.RandScaleIntensityd(["image"], 0.3, 1.0),
            mt.RandShiftIntensityd(["image"], SETTINGS.brightness_max, prob=1.0),
            mt.RandGaussianNoised(["image"], 1.0, std=SETTINGS.gaussian_noise_max),
        ]
    )

    def run(image: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if folded:
            samples = [{"image": x[0], "labels": y} for x, y in zip(image, labels, strict=True)]
        else:
            samples = [{"image": x, "labels": y[None]} for x, y in zip(image, labels, strict=True)]
        done = [transform(sample) for sample in samples]
        images, moved = (torch.stack([d[key].as_tensor() for d in done]) for key in keys)
        return (images[:, None], moved) if folded else (images, moved[:, 0])

    return run


def milliseconds_a_sample(run: Run, image: torch.Tensor, labels: torch.Tensor, patch: tuple[int, ...]) -> float:
    start = time.process_time()
    for _ in range(BATCHES):
        got, got_labels = run(image, labels)
    elapsed = time.process_time() - start
    if got.shape != (BATCH, 1, *patch) or got_labels.shape != (BATCH, *patch):
        raise AssertionError(f"{run}: {tuple(got.shape)} and {tuple(got_labels.shape)} are not patches of {patch}")
    return elapsed / (BATCH * BATCHES) * 1000


def rows_of(name: str, repetitions: int) -> Iterator[Row]:
    """Ours beside each peer that can do a case."""
    patch, voxel_size_nm = CASES[name]
    augmenter = Augmenter(SETTINGS, patch, voxel_size_nm)
    image = torch.randn(BATCH, 1, *augmenter.source_patch_zyx)
    labels = torch.randint(0, 9, (BATCH, *augmenter.source_patch_zyx), dtype=torch.uint8)
    sides = {"vemseg": ours(augmenter)}
    if patch[0] > 1:
        sides["batchgeneratorsv2"] = batchgenerators(augmenter, folded=False)
        sides["MONAI"] = monai(augmenter, folded=False)
    if not augmenter.plan.volumetric:
        sides["batchgeneratorsv2, folded"] = batchgenerators(augmenter, folded=True)
        sides["MONAI, folded"] = monai(augmenter, folded=True)
    times: dict[str, list[float]] = {side: [] for side in sides}
    for repetition in range(repetitions + 1):
        for side, run in sides.items():
            taken = milliseconds_a_sample(run, image.clone(), labels.clone(), patch)
            if repetition > 0:  # the first one fills caches
                times[side].append(taken)
    mine = tuple(times["vemseg"])
    for peer in list(sides)[1:]:
        yield Row(f"augmentation, {name}", peer, "ms", mine, tuple(times[peer]), 5)


def main() -> None:
    asked = options(__doc__, repetitions=9).parse_args()
    torch.set_num_threads(asked.threads)
    show((row for name in CASES for row in rows_of(name, asked.repetitions)), asked)


if __name__ == "__main__":
    main()
