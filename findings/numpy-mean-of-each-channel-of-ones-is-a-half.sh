#!/usr/bin/env bash
# NumPy gives 0.5 for the mean of each channel of a float32 volume that is 1 everywhere.
#
# Guess: sums are pairwise, so a mean of float32 is right to six digits; along which axes makes no difference.
# Seen: pairwise summation is for the fastest axis only. Along the others numbers are added one after the other in
#   float32: the sum of 2**25 ones stays at 2**24. mean, std, sum, nanmean and einsum do so; over all axes they are
#   right, and so is dtype=float64.
# Versions: numpy 2.4.6; Python 3.11.
# Prints: (32, 1024, 1024, 2) of ones: mean over (0, 1, 2) 0.5 0.5, over all 1.0 - of 100 everywhere: std 32 32
# Why it matters: means and deviations of channels (multibeam, correlated light) normalise a network's input: with
#   channels last they are far off from 17 million voxels on, without a warning.
# Source: NumPy documentation of numpy.sum, Notes (partial pairwise summation along the fast axis).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np

volume = np.ones((32, 1024, 1024, 2), np.float32)
channels, whole = volume.mean(axis=(0, 1, 2)).tolist(), float(volume.mean())
exact = volume.mean(axis=(0, 1, 2), dtype=np.float64).tolist()
volume *= 100
spread = volume.std(axis=(0, 1, 2)).tolist()
assert channels == [0.5, 0.5] and whole == 1 and exact == [1, 1], (channels, whole, exact)
assert min(spread) > 30 and float(volume.std()) == 0, spread
print(f"{volume.shape} of ones: mean over (0, 1, 2) {channels[0]} {channels[1]}, over all {whole} -",
      f"of 100 everywhere: std {spread[0]:.0f} {spread[1]:.0f}")
PYTHON
