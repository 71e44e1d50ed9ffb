#!/usr/bin/env bash
# Arithmetic of two xarray blocks keeps only the sections whose coordinates are equal to the last bit.
#
# Guess: two blocks of the same 100 sections, both with coordinates in micrometres, are subtracted voxel by voxel, or
#   an error says that the coordinates differ.
# Seen: sections at start + k * size and at (start + k) * size differ in the last bit for a third of k; the difference
#   has 66 or even 38 sections instead of 100, and concat has 162.
# Versions: xarray 2026.9.0, numpy 2.4.6; Python 3.11.
# Prints: of 100 sections each, subtraction keeps [100, 82, 75, 78, 72, 90, 66, 38, 66, 94] - concat of the eighth
#   pair has 162
# Why it matters: a prediction subtracted from the truth, block by block, is scored on the sections that happen to
#   match; nothing warns of the others.
# Source: xarray user guide, automatic alignment (arithmetic_join is "inner").
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'xarray==2026.9.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import xarray as xr

warnings.simplefilter("ignore")
size_um = 0.004
volume = xr.DataArray(np.ones(1000), dims="z", coords={"z": np.arange(1000) * size_um})
kept = []
for start in range(0, 1000, 100):
    z = start * size_um + np.arange(100) * size_um
    block = xr.DataArray(np.ones(100), dims="z", coords={"z": z})
    same = volume.isel(z=slice(start, start + 100))
    assert np.allclose(same.z, block.z, rtol=0, atol=1e-12)
    kept.append((same - block).sizes["z"])
    if start == 700:
        joined = xr.concat([same, block], "channel").sizes["z"]
assert kept == [100, 82, 75, 78, 72, 90, 66, 38, 66, 94], kept
assert joined == 162
print("of 100 sections each, subtraction keeps", kept, "- concat of the eighth pair has", joined)
PYTHON
