#!/usr/bin/env bash
# With index_order="C" pynrrd turns the axes of the array and not those of its voxel size.
#
# Guess: index_order="C" is for arrays of z, y, x, so spacings, like the shape, are given and returned in that order.
# Seen: the shape is reversed on the way to the file and the header is not: 40 of z becomes the voxel size of x.
#   Written and read by pynrrd all looks right.
# Versions: pynrrd 1.1.3, simpleitk 2.5.7, numpy 2.4.6; Python 3.11.
# Prints: z, y, x of 3, 4, 5 voxels of 40, 8, 8: SimpleITK reads x, y, z of 5, 4, 3 voxels of 40, 8, 8
# Why it matters: anisotropic stacks are stretched along x by every other reader, and sizes and distances with them; in
#   the writer's own program nothing shows it.
# Source: pynrrd documentation of index_order (it concerns the data).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'pynrrd==1.1.3' 'simpleitk==2.5.7' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import nrrd
import numpy as np
import SimpleITK as sitk

nrrd.write("a.nrrd", np.zeros((3, 4, 5), np.uint8), {"spacings": [40, 8, 8]}, index_order="C")
data, header = nrrd.read("a.nrrd", index_order="C")
assert data.shape == (3, 4, 5) and list(header["spacings"]) == [40, 8, 8] and list(header["sizes"]) == [5, 4, 3]
image = sitk.ReadImage("a.nrrd")
size, spacing = image.GetSize(), image.GetSpacing()
assert size == (5, 4, 3) and spacing == (40, 8, 8), (size, spacing)
print("z, y, x of 3, 4, 5 voxels of 40, 8, 8: SimpleITK reads x, y, z of", ", ".join(map(str, size)), "voxels of",
      ", ".join(f"{length:g}" for length in spacing))
PYTHON
