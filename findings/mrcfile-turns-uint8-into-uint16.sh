#!/usr/bin/env bash
# mrcfile stores 8-bit EM data as 16-bit.
#
# Guess: a uint8 volume is written as mode 0, one byte a voxel (with the known trouble about its sign), or refused
#   like int32 and float64 are.
# Seen: set_data changes the dtype without a warning: the file is mode 6, uint16, and twice as large. int32 and bool
#   raise instead.
# Versions: mrcfile 1.5.4, numpy 2.4.6; Python 3.11.
# Prints: uint8 of 100000 bytes: mode 6, uint16, file of 201024 bytes
# Why it matters: most SBF-SEM and FIB-SEM volumes are uint8: a 500 GB volume takes 1 TB, and tools that know only
#   modes 0 to 2 refuse it.
# Source: mrcfile documentation, "data types" (uint8 is converted to uint16).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'mrcfile==1.5.4' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import os

import mrcfile
import numpy as np

volume = np.full((10, 100, 100), 200, np.uint8)
with mrcfile.new("volume.mrc") as mrc:
    mrc.set_data(volume)
    mode, dtype = int(mrc.header.mode), mrc.data.dtype
size = os.path.getsize("volume.mrc")
assert (mode, dtype, size) == (6, np.uint16, 1024 + 2 * volume.nbytes)
for refused in (np.int32, bool, np.float64):
    try:
        with mrcfile.new("other.mrc", overwrite=True) as mrc:
            mrc.set_data(volume.astype(refused))
    except ValueError:
        continue
    raise SystemExit(f"{refused} was accepted")
print(f"uint8 of {volume.nbytes} bytes: mode {mode}, {dtype}, file of {size} bytes")
PYTHON
