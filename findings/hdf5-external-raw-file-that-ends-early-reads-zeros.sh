#!/usr/bin/env bash
# A dataset in external storage whose raw file ends too early is read without an error: the rest is zeros.
#
# Guess: HDF5 refuses to read behind the end of the raw file, as it refuses a raw file that is missing, and names of raw
#   files are relative to the HDF5 file.
# Seen: a raw file that was copied half gives zeros for its other half; one that is missing is an error. A relative name
#   is looked for in the working directory, so that the same dataset is found from one folder and not from another.
# Versions: h5py 3.16.0 (HDF5 2.0.0), numpy 2.4.6; Python 3.11.
# Prints: half a raw file: [7 7 0 0]; from another folder: OSError
# Why it matters: zeros are grey values like others; a volume that was copied in part is segmented, and nobody is told.
# Source: seen here; compare the sizes of the raw files with what H5Pset_external was told before reading.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'h5py==3.16.0' 'numpy==2.4.6'
mkdir "$work/volume" && cd "$work/volume"
"$work/venv/bin/python" - <<'PYTHON'
import os
from pathlib import Path

import h5py

raw = Path("raw.bin")
raw.write_bytes(bytes([7, 7, 7, 7]))
with h5py.File("volume.h5", "w") as file:
    file.create_dataset("grey", (4,), "u1", external=[("raw.bin", 0, 4)])
with h5py.File("volume.h5") as file:
    assert file["grey"][:].tolist() == [7, 7, 7, 7]
raw.write_bytes(raw.read_bytes()[:2])
with h5py.File("volume.h5") as file:
    half = file["grey"][:]
assert half.tolist() == [7, 7, 0, 0], half
os.chdir("..")
with h5py.File("volume/volume.h5") as file:
    try:
        file["grey"][:]
        raise SystemExit("it was found")
    except OSError as error:
        print(f"half a raw file: {half}; from another folder: {type(error).__name__}")
PYTHON
