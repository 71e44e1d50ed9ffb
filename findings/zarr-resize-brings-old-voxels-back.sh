#!/usr/bin/env bash
# A Zarr array made smaller and larger again shows old voxels in the part that was cut off.
#
# Guess: resize to 5 of 10 forgets the rest; resize back to 10 gives five voxels of fill value, as HDF5 does.
# Seen: only whole chunks outside the new shape are deleted: what lay in the last chunk kept comes back (three voxels
#   with chunks of 4; with shards the whole shard's worth).
# Versions: zarr 3.1.6, h5py 3.16.0, numpy 2.4.6; Python 3.11.
# Prints: cut to 5 and grown to 10: zarr [7, 7, 7, 7, 7, 7, 7, 7, 0, 0] - HDF5 [7, 7, 7, 7, 7, 0, 0, 0, 0, 0]
# Why it matters: a volume cropped to its valid part and later extended section by section shows the cropped-off
#   voxels again as if they were new.
# Source: zarr-python issue 1017, open since 2022; zarr-specs issue 188.
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

def cut_and_grow(array):
    array[:] = np.full(10, 7, np.uint8)
    array.resize((5,))
    array.resize((10,))
    return array[:].tolist()

plain = cut_and_grow(zarr.create_array("plain.zarr", shape=(10,), chunks=(4,), dtype="uint8"))
with h5py.File("volume.h5", "w") as file:
    hdf5 = cut_and_grow(file.create_dataset("image", (10,), "uint8", chunks=(4,), maxshape=(None,)))
assert plain == [7] * 8 + [0] * 2, plain
assert hdf5 == [7] * 5 + [0] * 5, hdf5
print("cut to 5 and grown to 10: zarr", plain, "- HDF5", hdf5)
PYTHON
