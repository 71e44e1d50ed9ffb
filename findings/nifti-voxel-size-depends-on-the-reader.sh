#!/usr/bin/env bash
# A NIfTI file in micrometres has voxels of 8 in nibabel and of 0.008 in SimpleITK.
#
# Guess: the numbers of the voxel size are those in the file; the unit is a note beside them.
# Seen: SimpleITK converts the unit to millimetres, nibabel's zooms and affine leave it: the numbers differ by 1,000. A
#   copy made by SimpleITK says 0.008 and "mm", so that nibabel gives two voxel sizes for one image.
# Versions: nibabel 5.4.2, simpleitk 2.5.7, numpy 2.4.6; Python 3.11.
# Prints: 8 x 8 x 40 micrometres: nibabel 8 8 40, SimpleITK 0.008 0.008 0.04 - copied by SimpleITK: nibabel 0.008 0.008
#   0.04 mm
# Why it matters: distances in electron microscopy, which is never in millimetres, are wrong by 1,000, and volumes by
#   10**9, when one library reads what the other measured.
# Source: NIfTI-1 field xyzt_units; behaviour of the released packages.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'nibabel==5.4.2' 'simpleitk==2.5.7' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import nibabel
import numpy as np
import SimpleITK as sitk

image = nibabel.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.diag([8, 8, 40, 1]))
image.header.set_xyzt_units("micron")
nibabel.save(image, "a.nii")
sitk.WriteImage(sitk.ReadImage("a.nii"), "copy.nii")
first, copy = nibabel.load("a.nii"), nibabel.load("copy.nii")

def short(numbers):
    return " ".join(f"{number:.6g}" for number in numbers)

itk, unit = sitk.ReadImage("a.nii").GetSpacing(), copy.header.get_xyzt_units()[0]
assert np.allclose(first.affine.diagonal(), [8, 8, 40, 1]) and np.allclose(itk, [0.008, 0.008, 0.04])
assert np.allclose(copy.header.get_zooms(), itk) and unit == "mm"
print(f"8 x 8 x 40 micrometres: nibabel {short(first.header.get_zooms())}, SimpleITK {short(itk)} -",
      f"copied by SimpleITK: nibabel {short(copy.header.get_zooms())} {unit}")
PYTHON
