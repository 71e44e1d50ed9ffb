#!/usr/bin/env bash
# An HDF5 dataset of h5py and a Zarr array compared with a label are False, not a mask.
#
# Guess: dataset == 3 compares voxel by voxel, as slicing, numpy functions and len work on both; or it raises, as
#   dataset > 3 does.
# Seen: whole objects are compared: == gives one False, so numpy.count_nonzero(dataset == 3) is 0.
#   With dataset[:] it is a mask.
# Versions: h5py 3.16.0, zarr 3.1.6, numpy 2.4.6; Python 3.11.
# Prints: voxels of 3 in 1 2 3 3: h5py 0, Zarr 0, of an array in memory 2
# Why it matters: code that takes arrays in memory and is handed a volume on disk finds no voxel of any label, and says
#   that the object is not there.
# Source: behaviour of the released packages (equality of datasets is that of their identifiers).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'h5py==3.16.0' 'zarr==3.1.6' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import h5py
import numpy as np
import zarr

labels = np.array([1, 2, 3, 3], np.uint8)
z = zarr.create_array(store="labels.zarr", data=labels)
with h5py.File("labels.h5", "w") as file:
    dataset = file.create_dataset("labels", data=labels)
    assert (dataset == 3) is False and (z == 3) is False
    counts = [int(np.count_nonzero(stored == 3)) for stored in (dataset, z, labels)]
    for stored in (dataset, z):
        assert np.count_nonzero(stored[:] == 3) == 2
        try:
            stored > 3
            raise AssertionError("a comparison by size is not refused")
        except TypeError:
            pass
assert counts == [0, 0, 2], counts
print(f"voxels of 3 in 1 2 3 3: h5py {counts[0]}, Zarr {counts[1]}, of an array in memory {counts[2]}")
PYTHON
