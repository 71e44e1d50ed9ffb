#!/usr/bin/env bash
# Zarr takes an array larger than the region it is assigned to and drops the rest.
#
# Guess: z[0:3] = a of shape (4, 4) raises, as it does in NumPy and h5py: shapes that do not match are always a
#   mistake.
# Seen: what lies beyond the region is dropped without a word; a smaller array does raise.
# Versions: zarr 3.1.6, h5py 3.16.0, numpy 2.4.6; Python 3.11.
# Prints: a 4 x 4 array in a 2 x 2 region: zarr stores [[0, 1], [4, 5]] - numpy and h5py raise
# Why it matters: a block written with the halo still on it lands shifted by the halo, with no error, wherever voxels
#   were to be trimmed first.
# Source: behaviour of the released package; zarr-python pull request 2512 added the check for coordinate selection
#   only.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'zarr==3.1.6' 'h5py==3.16.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import h5py
import numpy as np
import zarr

block_with_halo = np.arange(16).reshape(4, 4)
volume = zarr.create_array("volume.zarr", shape=(6, 6), chunks=(2, 2), dtype="int32")
volume[1:3, 1:3] = block_with_halo  # the core of the block is [[5, 6], [9, 10]]
assert volume[1:3, 1:3].tolist() == [[0, 1], [4, 5]]
assert np.count_nonzero(volume[:]) == 3
with h5py.File("volume.h5", "w") as file:
    for other in (np.zeros((6, 6), np.int32), file.create_dataset("volume", (6, 6), "int32")):
        try:
            other[1:3, 1:3] = block_with_halo
        except (ValueError, TypeError):
            continue
        raise SystemExit("a too large array was taken")
print("a 4 x 4 array in a 2 x 2 region: zarr stores", volume[1:3, 1:3].tolist(), "- numpy and h5py raise")
PYTHON
