#!/usr/bin/env bash
# The levels that ome-zarr writes for a volume of odd size are not scaled by 2.
#
# Guess: level 1 is the mean of pairs of voxels with the scale 2; an odd size drops or pads the last voxel.
# Seen: a level of 63 voxels is resized as a whole to 31, with the scale 2.0323 in the metadata and a matching
#   translation; after four levels 21 instead of 16. z is not scaled at all.
# Versions: ome-zarr 0.18.0, zarr 3.1.6, numpy 2.4.6; Python 3.11.
# Prints: scales of x for 63 voxels: [1.0, 2.0323, 4.2, 9.0, 21.0] - of z: [1.0, 1.0, 1.0, 1.0, 1.0]
# Why it matters: readers that assume powers of two, or blocks that map from level to level by shifting bits, are off
#   by several voxels at the far end of coarse levels.
# Source: behaviour of the released package; the OME-Zarr specification allows any scale.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'ome-zarr==0.18.0' 'zarr==3.1.6' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import zarr
from ome_zarr.writer import write_image

warnings.simplefilter("ignore")
volume = np.zeros((31, 63, 63), np.uint8)
group = zarr.open_group("volume.zarr", mode="w")
write_image(volume, group, axes="zyx")
scales, shapes = [], []
for level in group.attrs["ome"]["multiscales"][0]["datasets"]:
    scales.append([round(s, 4) for s in level["coordinateTransformations"][0]["scale"]])
    shapes.append(group[level["path"]].shape)
assert shapes == [(31, 63, 63), (31, 31, 31), (31, 15, 15), (31, 7, 7), (31, 3, 3)], shapes
assert scales == [[1, 1, 1], [1, 2.0323, 2.0323], [1, 4.2, 4.2], [1, 9, 9], [1, 21, 21]], scales
print("scales of x for 63 voxels:", [s[2] for s in scales], "- of z:", [s[0] for s in scales])
PYTHON
