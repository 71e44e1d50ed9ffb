#!/usr/bin/env bash
# set_zooms of nibabel gives a NIfTI file two voxel sizes, one in its header and one in its affine.
#
# Guess: set_zooms sets the voxel size: after saving, zooms and affine agree, as they do for a new image; or saving
#   restores the affine's.
# Seen: the file holds zooms of 40 and an affine of 1, and both are read back without a warning: which one counts is up
#   to the reader.
# Versions: nibabel 5.4.2, numpy 2.4.6; Python 3.11.
# Prints: set to 8 8 40 and saved: zooms 8 8 40, affine 1 1 1
# Why it matters: a stack without calibration is given one this way: programs that use the affine still measure in
#   voxels of 1, others in those of 8 x 8 x 40, and overlays of the two do not fit.
# Source: behaviour of the released package (only the data of a header are changed, the affine is the image's).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'nibabel==5.4.2' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import nibabel
import numpy as np

image = nibabel.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4))
image.header.set_zooms((8, 8, 40))
nibabel.save(image, "a.nii")
back = nibabel.load("a.nii")
zooms, affine = [float(size) for size in back.header.get_zooms()], back.affine.diagonal()[:3].tolist()
assert zooms == [8, 8, 40] and affine == [1, 1, 1], (zooms, affine)
print("set to 8 8 40 and saved: zooms", *(f"{size:g}" for size in zooms), end="")
print(", affine", *(f"{size:g}" for size in affine))
PYTHON
