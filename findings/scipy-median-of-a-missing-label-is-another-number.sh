#!/usr/bin/env bash
# scipy.ndimage.median of a label that is not there returns a voxel of another label.
#
# Guess: a statistic of a label without voxels is NaN for all of mean, minimum, maximum and median, or all raise.
# Seen: mean and standard_deviation are NaN, minimum and maximum 0, and median is a value taken from elsewhere in the
#   image.
# Versions: scipy 1.17.1, numpy 2.4.6; Python 3.11.
# Prints: label 9 is absent: mean nan, minimum 0, maximum 0, median 5.0 - label 1 holds 5 and 6
# Why it matters: tables of segments made from a list of ids, some of which the block does not hold, get plausible
#   intensities for them.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'scipy==1.17.1' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
from scipy import ndimage

warnings.simplefilter("ignore", RuntimeWarning)
image, labels = np.array([5, 6]), np.array([1, 1])
found = {n: getattr(ndimage, n)(image, labels, [1, 9]) for n in ("mean", "minimum", "maximum", "median")}
assert [float(values[0]) for values in found.values()] == [5.5, 5, 6, 5.5]
absent = {name: values[1] for name, values in found.items()}
assert np.isnan(absent["mean"]) and absent["minimum"] == absent["maximum"] == 0 and absent["median"] == 5
print("label 9 is absent:", ", ".join(f"{n} {v}" for n, v in absent.items()), "- label 1 holds 5 and 6")
PYTHON
