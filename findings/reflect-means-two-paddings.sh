#!/usr/bin/env bash
# Padding by "reflect" is one thing in NumPy, another in SciPy, and both in Dask.
#
# Guess: mode="reflect" names one padding across the scientific Python stack; scipy.ndimage repeats what numpy.pad
#   does.
# Seen: numpy.pad "reflect" leaves the edge voxel single (3 2 | 1 2 3), scipy.ndimage "reflect" doubles it (2 1 | 1 2
#   3), which NumPy calls "symmetric"; NumPy's reflect is SciPy's "mirror". dask.array.pad follows NumPy and
#   dask.array.overlap follows SciPy.
# Versions: scipy 1.17.1, dask[array] 2026.8.0, numpy 2.4.6; Python 3.11.
# Prints: reflect: numpy and dask pad [3, 2, 1] - scipy and dask overlap [2, 1, 1]
# Why it matters: tiles padded for a network by one library and filtered by another differ by one voxel all around,
#   which shows as seams.
# Source: reference pages of numpy.pad, scipy.ndimage and dask.array.overlap.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'scipy==1.17.1' 'dask[array]==2026.8.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import dask.array as da
import numpy as np
from scipy.ndimage import map_coordinates

line = np.arange(1, 6)
outside = [np.arange(-2, 7)]
single, double = [3, 2, 1, 2, 3, 4, 5, 4, 3], [2, 1, 1, 2, 3, 4, 5, 5, 4]
lazy = da.from_array(line, chunks=5)
assert np.pad(line, 2, mode="reflect").tolist() == single
assert map_coordinates(line, outside, order=0, mode="mirror").tolist() == single
assert da.pad(lazy, 2, mode="reflect").compute().tolist() == single
assert np.pad(line, 2, mode="symmetric").tolist() == double
assert map_coordinates(line, outside, order=0, mode="reflect").tolist() == double
assert da.overlap.overlap(lazy, 2, boundary="reflect").compute().tolist() == double
print("reflect: numpy and dask pad", single[:3], "- scipy and dask overlap", double[:3])
PYTHON
