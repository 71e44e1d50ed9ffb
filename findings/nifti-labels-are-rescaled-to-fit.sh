#!/usr/bin/env bash
# nibabel squeezes labels up to 999 into uint8 by scaling them.
#
# Guess: set_data_dtype(uint8) on a label image with 1,000 labels raises, clips or wraps; integer data is never
#   scaled.
# Seen: the range is mapped onto 0..255 with a slope of 3.9 in the header: on reading the labels are float64, and
#   1,000 of them have become 256.
# Versions: nibabel 5.4.2, numpy 2.4.6; Python 3.11.
# Prints: 1000 labels come back as 256 of float64, slope 3.918; label 2 is 3.918
# Why it matters: label volumes are often stored small to save space; every fourth label survives, with a fraction,
#   and neighbouring cells are merged.
# Source: nibabel manual, data scaling.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'nibabel==5.4.2' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import nibabel as nib
import numpy as np

labels = np.arange(1000, dtype=np.int32).reshape(10, 10, 10)
image = nib.Nifti1Image(labels, np.eye(4))
image.set_data_dtype(np.uint8)
nib.save(image, "labels.nii")
read = nib.load("labels.nii")
values = np.asarray(read.dataobj)
assert values.dtype == np.float64 and len(np.unique(values)) == 256
assert 3.91 < read.dataobj.slope < 3.92
distinct, slope, second = len(np.unique(values)), read.dataobj.slope, values.ravel()[2]
print(f"1000 labels come back as {distinct} of {values.dtype}, slope {slope:.3f}; label 2 is {second:.3f}")
PYTHON
