"""Where the voxels of a sample come from: they change places, or are resampled.

Without a deformation nothing is interpolated: mirrors, quarter turns and shifted slices only move voxels. Affine and
elastic deformation are one resampling of image and labels, through the very same coordinates.

Legend: C channels; Z, Y, X the source; D resampled axes (2: within slices, 3: z as well).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import grid_sample

from pipeline.nn.augment.draws import FloatArray, SampleStream
from pipeline.nn.augment.planning import AugmentationPlan, ControlGrids, upsample

_CACHED_VOXELS = 2**17
"""float32 voxels that the cache of a CPU core holds, with room for as many more."""


@dataclass(frozen=True)
class Deformation:
    """Where each voxel of the patch is read, along the resampled axes (D: 2 or 3)."""

    matrix: FloatArray
    """(D, D): from an offset from the patch's centre to one from the source's centre, both in voxels.
    Mirrors and quarter turns within the plane are part of it."""
    displacement: FloatArray | None
    """(D, k_1, ..., k_D): control values that are added to the offset in the source, in voxels."""


@dataclass(frozen=True)
class SectionShift:
    """Slices z_start to z_stop (excluded) of the patch show what lies `offset_yx` voxels further on in the source."""

    z_start: int
    z_stop: int
    offset_yx: tuple[int, int]


@dataclass(frozen=True)
class SpatialDraw:
    """Where the voxels of one sample come from."""

    flips_zyx: tuple[bool, bool, bool]
    quarter_turns: int
    """From y towards x, after the flips."""
    shift: SectionShift | None
    deformation: Deformation | None
    """None: no voxel is interpolated, flips and quarter turns only move it."""


def draw_spatial(plan: AugmentationPlan, stream: SampleStream) -> SpatialDraw:
    """What happens to the voxels' places."""
    flip_z, flip_y, flip_x = (stream.happens(p) for p in plan.settings.flip_probability_zyx)
    turns = _draw_quarter_turns(plan, stream)
    shift = _draw_shift(plan, stream)
    deformation = _draw_deformation(plan, _symmetry(flip_y, flip_x, turns), stream)
    return SpatialDraw((flip_z, flip_y, flip_x), turns, shift, deformation)


def _draw_quarter_turns(plan: AugmentationPlan, stream: SampleStream) -> int:
    happens, turns = stream.happens(plan.settings.quarter_turn_probability), stream.integer(1, 3)
    return turns if happens and plan.quarter_turns else 0


def _draw_shift(plan: AugmentationPlan, stream: SampleStream) -> SectionShift | None:
    """One slice of the patch, or it and all that follow: a section that slipped, or a misaligned rest of the stack."""
    happens = stream.happens(plan.settings.shifted_slice_probability)
    z = stream.integer(0, plan.patch_zyx[0] - 1)
    z_stop = plan.patch_zyx[0] if stream.happens(0.5) else z + 1
    largest = plan.settings.slice_shift_max_voxels
    offset_yx = (stream.integer(-largest, largest), stream.integer(-largest, largest))
    return SectionShift(z, z_stop, offset_yx) if happens else None


def _symmetry(flip_y: bool, flip_x: bool, quarter_turns: int) -> FloatArray:
    """(3, 3): flips and quarter turns as a map from offsets in the patch to offsets in the source."""
    turn = np.linalg.matrix_power(np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]), quarter_turns)
    flips = np.diag([1.0, -1.0 if flip_y else 1.0, -1.0 if flip_x else 1.0])
    symmetry: FloatArray = flips @ turn
    return symmetry


def _draw_deformation(plan: AugmentationPlan, symmetry: FloatArray, stream: SampleStream) -> Deformation | None:
    affine_nm = _draw_affine(plan, stream)
    displacement = _draw_displacement(plan, stream)
    if affine_nm is None and displacement is None:
        return None
    axes = list(plan.resampled_axes)
    voxel_nm = np.array(plan.voxel_size_nm)
    matrix = np.eye(3) if affine_nm is None else affine_nm * voxel_nm[None, :] / voxel_nm[:, None]
    return Deformation((symmetry @ matrix)[np.ix_(axes, axes)], displacement)


def _draw_affine(plan: AugmentationPlan, stream: SampleStream) -> FloatArray | None:
    """(3, 3): from an offset in the patch to an offset in the source, in nm; None: the identity.

    Stretch and scale act on the patch first, then the tilt, then the in-plane rotation.
    """
    settings = plan.settings
    rotation = stream.value_or(0.0, settings.rotation_probability, -1, 1) * math.radians(settings.rotation_degrees)
    tilted = stream.happens(settings.tilt_probability) and plan.volumetric
    tilts = stream.field((2,)) * math.radians(settings.tilt_degrees) * tilted
    scale = stream.factor(settings.scale_probability, *settings.scale_range)
    stretched = stream.happens(settings.stretch_probability)
    stretch = settings.stretch_max ** (stream.field((3,)) * stretched)
    if rotation == 0 and not tilted and scale == 1 and not stretched:
        return None
    tilt = _turn(0, 2, tilts[1]) @ _turn(0, 1, tilts[0])
    return _turn(1, 2, rotation) @ tilt @ np.diag(1 / (scale * stretch))


def _turn(from_axis: int, to_axis: int, angle: float) -> FloatArray:
    """Rotation by `angle` (radians) in the plane of two axes."""
    matrix = np.eye(3)
    matrix[from_axis, from_axis] = matrix[to_axis, to_axis] = math.cos(angle)
    matrix[to_axis, from_axis] = math.sin(angle)
    matrix[from_axis, to_axis] = -math.sin(angle)
    return matrix


def _draw_displacement(plan: AugmentationPlan, stream: SampleStream) -> FloatArray | None:
    settings, axes = plan.settings, plan.resampled_axes
    happens = stream.happens(settings.elastic_probability)
    amplitude_voxels = stream.uniform(0, settings.elastic_amplitude_voxels)
    controls = stream.field((len(axes), *plan.control_shape(settings.elastic_spacing_voxels, axes)))
    if not happens:
        return None
    amplitude = np.array([plan.in_axis_voxels(amplitude_voxels, axis) for axis in axes])
    scaled: FloatArray = controls * amplitude.reshape(-1, *[1] * len(axes))
    return scaled


class Mover:
    """Moves the voxels of samples, image and labels alike."""

    def __init__(self, plan: AugmentationPlan, grids: ControlGrids) -> None:
        self._plan, self._grids = plan, grids

    def __call__(
        self, image_CZYX: torch.Tensor, labels_ZYX: torch.Tensor, draw: SpatialDraw
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Copies of the size of the patch."""
        if draw.deformation is None:
            patch = self._plan.patch_zyx
            image, labels = rearrange(image_CZYX, patch, draw), rearrange(labels_ZYX, patch, draw)
        else:
            image, labels = self._deform(image_CZYX, labels_ZYX, draw.deformation, draw.shift)
        if draw.flips_zyx[0]:
            return image.flip(-3), labels.flip(-3)
        return image, labels

    def _deform(
        self, image: torch.Tensor, labels: torch.Tensor, deformation: Deformation, shift: SectionShift | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        plan, axes = self._plan, self._plan.resampled_axes
        weights = self._grids.weights(plan.settings.elastic_spacing_voxels, image.device)
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


def rearrange(volume: torch.Tensor, patch_zyx: Sequence[int], draw: SpatialDraw) -> torch.Tensor:
    """The patch from the middle of a source volume (..., z, y, x), copied."""
    depth, height, width = patch_zyx
    if draw.quarter_turns % 2:
        height, width = width, height
    patch = _cut_middle(volume, (depth, height, width), draw.shift)
    patch = patch.flip([axis for axis, flip in ((-2, draw.flips_zyx[1]), (-1, draw.flips_zyx[2])) if flip])
    return patch.rot90(draw.quarter_turns, dims=(-2, -1)).contiguous()


def _cut_middle(volume: torch.Tensor, size_zyx: Sequence[int], shift: SectionShift | None) -> torch.Tensor:
    z, y, x = ((have - want) // 2 for have, want in zip(volume.shape[-3:], size_zyx, strict=True))
    depth, height, width = size_zyx
    patch = volume[..., z : z + depth, y : y + height, x : x + width].clone()
    if shift is not None:
        y, x = y + shift.offset_yx[0], x + shift.offset_yx[1]
        slices = slice(z + shift.z_start, z + shift.z_stop)
        patch[..., shift.z_start : shift.z_stop, :, :] = volume[..., slices, y : y + height, x : x + width]
    return patch


def source_coordinates(
    deformation: Deformation,
    patch: Sequence[int],
    source: Sequence[int],
    spline_weights: Sequence[torch.Tensor],
    device: torch.device,
) -> torch.Tensor:
    """Where each voxel of the patch is read: (D, *patch), float32, in voxel indices of the source.

    Args:
        patch: size along the D resampled axes.
        source: the same; their centres coincide.
        spline_weights: D matrices (patch size, control points) for the elastic part.
    """
    offsets = [np.arange(size) - (size - 1) / 2 for size in patch]
    # The affine part of all axes but the last, in float64 on the host: few numbers, and exact for half voxels.
    rows = (np.array(source) - 1).reshape(-1, *[1] * (len(patch) - 1)) / 2
    for axis, along in enumerate(np.ix_(*offsets[:-1])):
        rows = rows + deformation.matrix[:, axis].reshape(rows.shape[:1] + (1,) * along.ndim) * along
    columns = np.broadcast_to(deformation.matrix[:, -1].reshape(-1, *[1] * (rows.ndim - 1)), rows.shape)
    left = [_on(device, np.stack([rows, columns], axis=-1))]
    right = [_on(device, np.stack([np.ones(patch[-1]), offsets[-1]]))]
    if deformation.displacement is not None:
        left.append(upsample(_on(device, deformation.displacement), spline_weights[:-1]))
        right.append(spline_weights[-1].T)
    # One product adds the elastic to the affine part, so that the field of full size is written only once.
    return torch.cat(left, -1) @ torch.cat(right)


def _on(device: torch.device, array: NDArray[np.float64]) -> torch.Tensor:
    return torch.as_tensor(array, dtype=torch.float32, device=device)


def resample(
    image_CZYX: torch.Tensor, labels_ZYX: torch.Tensor, coordinates: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Image (C, z, y, x) and labels (z, y, x) at `coordinates` (D, *patch): linear along the D axes, and nearest.

    The source patch holds every coordinate but for rounding, which is clamped away, in place.
    """
    for coordinate, size in zip(coordinates, labels_ZYX.shape[-len(coordinates) :], strict=True):
        coordinate.clamp_(0, size - 1)
    sample = _sample_planes if len(coordinates) == 2 else _sample_volume
    return sample(image_CZYX, coordinates), _nearest(labels_ZYX, coordinates)


def _nearest(labels_ZYX: torch.Tensor, coordinates: torch.Tensor) -> torch.Tensor:
    *z, y, x = coordinates.round()
    # float32 counts rows exactly (up to 2**24), but not voxels.
    row = torch.add(y, z[0], alpha=labels_ZYX.shape[-2]) if z else y
    index = torch.add(x.long(), row.long(), alpha=labels_ZYX.shape[-1])
    flat = labels_ZYX.flatten(-len(coordinates))
    picked = flat.gather(-1, index.flatten().expand(*flat.shape[:-1], -1))
    return picked.reshape(*flat.shape[:-1], *coordinates.shape[1:])


def _sample_planes(image_CZYX: torch.Tensor, coordinates: torch.Tensor) -> torch.Tensor:
    """All slices share one grid: a few at a time pass as channels of one plane and share the weights as well.

    The part of them that is read is copied first: small, and in one piece, it stays in the cache of a CPU core while it
    is read in any order, which halves the time.
    """
    first = coordinates.amin((1, 2)).floor()
    (top, left), (bottom, right) = first.int().tolist(), coordinates.amax((1, 2)).ceil().int().tolist()
    planes = image_CZYX.flatten(0, 1)[:, top : bottom + 1, left : right + 1]
    y, x = coordinates - first[:, None, None]
    grid = _grid(y, x, planes.shape[1:])
    together = max(1, _CACHED_VOXELS // planes[0].numel())
    sampled = [_bilinear(some.contiguous()[None], grid)[0] for some in torch.split(planes, together)]
    return torch.cat(sampled).reshape(*image_CZYX.shape[:2], *y.shape)


def _sample_volume(image_CZYX: torch.Tensor, coordinates: torch.Tensor) -> torch.Tensor:
    """Trilinear, as a bilinear sample of two neighbouring slices and a linear step between them.

    torch's trilinear kernel is a scalar loop on the CPU; its bilinear kernel is vectorised, and 7 times faster here.
    The volume is seen as one tall plane, slice below slice, and as a second one that is one slice ahead:

        channel 0: slice 0, slice 1, ...
        channel 1: slice 1, slice 2, ...

    Clamping keeps y within its slice. In a plane this tall float32 tells rows apart to about 1/250 of a voxel
    (at 40 000 rows), far below what a label or an eye can see.
    """
    channels, slices, rows, columns = image_CZYX.shape
    pair_strides = (rows * columns, columns, 1)
    z, y, x = coordinates
    below = z.floor().clamp_(max=slices - 2)
    tall_rows = (slices - 1) * rows
    grid = _grid(torch.add(y, below, alpha=rows), x, (tall_rows, columns))
    fraction = z - below
    sampled = torch.empty(channels, *z.shape, device=image_CZYX.device)
    for volume, out in zip(image_CZYX.contiguous(), sampled, strict=True):
        pairs = volume.as_strided((2, tall_rows, columns), pair_strides, volume.storage_offset())
        # Every slice of the patch is a batch entry of its own, since the kernel shares out the batch over threads.
        pair = _bilinear(pairs.expand(len(z), -1, -1, -1), grid)
        torch.lerp(pair[:, 0], pair[:, 1], fraction, out=out)
    return sampled


def _grid(y: torch.Tensor, x: torch.Tensor, plane_yx: Sequence[int]) -> torch.Tensor:
    """The points (y, x), in pixels, as `grid_sample` wants them: x first, first and last pixel centre at -1 and 1."""
    points = y.new_empty(2, *y.shape)
    for point, along, size in zip(points, (x, y), reversed(plane_yx), strict=True):
        torch.mul(along, 2 / max(size - 1, 1), out=point).sub_(1)
    return points.movedim(0, -1)


def _bilinear(planes_BCYX: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Every plane at every point of a grid (..., rows, columns, 2). Returns (B, C, rows, columns)."""
    grid = grid.expand(len(planes_BCYX), -1, -1, -1)
    return grid_sample(planes_BCYX, grid, mode="bilinear", padding_mode="border", align_corners=True)
