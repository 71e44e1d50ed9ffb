#!/usr/bin/env bash
# HDF5 clips numbers that do not fit, on writing and on reading with another type.
#
# Guess: assigning 300 to a uint8 dataset gives 44, as NumPy's astype does, or an error; dataset.astype("uint8")
#   equals array.astype("uint8").
# Seen: HDF5 converts by itself and clips: 300 is 255, -1 is 0, NaN is 0, infinity is the largest number. The same two
#   names, astype, give different voxels.
# Versions: h5py 3.16.0, numpy 2.4.6; Python 3.11.
# Prints: 300 as uint8: 255 by h5py, 44 by numpy; three labels become [65535]
# Why it matters: labels above 65535 written to a uint16 dataset all become the one object 65535 and no count of
#   labels shows it as a wrapped number would.
# Source: HDF5 user guide, data type conversion (out of range values are set to the limit).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'h5py==3.16.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import warnings

import h5py
import numpy as np

warnings.simplefilter("ignore")
with h5py.File("volume.h5", "w") as file:
    small = file.create_dataset("small", (4,), "uint8")
    small[:] = np.array([300, -1, 256, 5])
    large = file.create_dataset("large", data=np.array([300, 65535, 256, 5], np.uint16))
    floats = file.create_dataset("floats", (3,), "uint16")
    floats[:] = np.array([np.nan, np.inf, -3.5])
    labels = file.create_dataset("labels", (3,), "uint16")
    labels[:] = np.array([70001, 70002, 70003], np.uint32)
    assert small[:].tolist() == [255, 0, 255, 5]
    assert large.astype("uint8")[:].tolist() == [255, 255, 255, 5]
    assert large[:].astype("uint8").tolist() == [44, 255, 0, 5]
    assert floats[:].tolist() == [0, 65535, 0]
    assert labels[:].tolist() == [65535] * 3
    clipped, wrapped = large.astype("uint8")[0], large[:].astype("uint8")[0]
    print(f"300 as uint8: {clipped} by h5py, {wrapped} by numpy; three labels become {np.unique(labels[:]).tolist()}")
PYTHON
