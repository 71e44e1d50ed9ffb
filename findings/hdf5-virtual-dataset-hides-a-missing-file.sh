#!/usr/bin/env bash
# A virtual HDF5 dataset reads as zeros where a source file is missing.
#
# Guess: reading a part whose source file was moved or deleted raises an error, as an external link does.
# Seen: the part reads as the fill value, 0, without a warning; the external link to the same file does raise.
# Versions: h5py 3.16.0, numpy 2.4.6; Python 3.11.
# Prints: section 0 reads 9 - section 1, whose file does not exist, reads 0
# Why it matters: tiles or sections acquired into one file each are joined by a virtual dataset; copied to a cluster
#   without one of them, the volume has a black slab that looks like data.
# Source: HDF5 documentation of virtual datasets (missing sources give the fill value).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'h5py==3.16.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import h5py
import numpy as np

with h5py.File("section0.h5", "w") as file:
    file["image"] = np.full((4, 4), 9, np.uint8)
layout = h5py.VirtualLayout((2, 4, 4), "uint8")
for z in range(2):
    layout[z] = h5py.VirtualSource(f"section{z}.h5", "image", shape=(4, 4))
with h5py.File("volume.h5", "w") as file:
    file.create_virtual_dataset("image", layout)
    file["section1"] = h5py.ExternalLink("section1.h5", "image")
with h5py.File("volume.h5") as file:
    volume = file["image"][:]
    try:
        file["section1"]
    except KeyError:
        pass
    else:
        raise SystemExit("the external link to a missing file opened")
assert (volume[0] == 9).all() and (volume[1] == 0).all()
print("section 0 reads", volume[0].max(), "- section 1, whose file does not exist, reads", volume[1].max())
PYTHON
