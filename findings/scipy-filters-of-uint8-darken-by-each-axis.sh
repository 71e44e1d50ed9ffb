#!/usr/bin/env bash
# scipy.ndimage filters cut off the fraction after every axis, so that uint8 volumes get darker.
#
# Guess: a filter computes in floating point and rounds once when it returns uint8: the mean stays.
# Seen: the result after each axis is stored in the output type and truncated: a three-dimensional Gaussian loses 1.5
#   grey levels, a box filter 1.0; with output=float nothing is lost.
# Versions: scipy 1.17.1, numpy 2.4.6; Python 3.11.
# Prints: change of the mean: gaussian -1.5, uniform -1.0 as uint8 - gaussian +0.0, uniform +0.0 as float
# Why it matters: 1.5 of 255 is more than a threshold between membrane and cytoplasm may move, and a filter applied
#   ten times darkens by 15.
# Source: SciPy documentation of uniform_filter and gaussian_filter (intermediate arrays are stored in the output data
#   type).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'scipy==1.17.1' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from scipy import ndimage

volume = np.random.default_rng(0).integers(0, 256, (48, 48, 48)).astype(np.uint8)
change = {}
for kind in (np.uint8, float):
    for name, filtered in (
        ("gaussian", ndimage.gaussian_filter(volume, 2, output=kind, mode="wrap")),
        ("uniform", ndimage.uniform_filter(volume, 3, output=kind, mode="wrap")),
    ):
        assert filtered.dtype == kind
        change[name, kind] = round(float(filtered.mean() - volume.mean()), 1) + 0.0
assert change["gaussian", np.uint8] == -1.5 and change["uniform", np.uint8] == -1.0, change
assert change["gaussian", float] == change["uniform", float] == 0
print("change of the mean:", ", ".join(f"{n} {change[n, np.uint8]:+.1f}" for n in ("gaussian", "uniform")),
      "as uint8 -", ", ".join(f"{n} {change[n, float]:+.1f}" for n in ("gaussian", "uniform")), "as float")
PYTHON
