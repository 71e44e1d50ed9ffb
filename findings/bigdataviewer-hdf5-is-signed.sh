#!/usr/bin/env bash
# A uint16 volume in a BigDataViewer HDF5 file is declared as int16.
#
# Guess: uint16 voxels are stored as an unsigned HDF5 type, so any HDF5 reader gives them back.
# Seen: npy2bdv, like BigDataViewer's own export, stores the bits as int16: 40000 reads as -25536 with h5py. The
#   writer gives no warning, and the XML beside it does not say.
# Versions: npy2bdv 1.1.0, h5py 3.16.0, scikit-image 0.26.0, numpy 2.4.6; Python 3.11.
# Prints: 40000 is read as int16 -25536 - viewed as uint16 40000
# Why it matters: bright voxels turn into the darkest ones when such a file is read by anything but BigDataViewer;
#   12-bit data looks right, so it is seen late.
# Source: BigDataViewer's HDF5 format keeps Java's signed short; the remedy is a view as uint16.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'npy2bdv==1.1.0' 'h5py==3.16.0' 'scikit-image==0.26.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import h5py
import npy2bdv
import numpy as np

volume = np.full((4, 8, 8), 40000, np.uint16)
writer = npy2bdv.BdvWriter("volume.h5")
writer.append_view(volume)
writer.write_xml()
writer.close()
with h5py.File("volume.h5") as file:
    stored = file["t00000/s00/0/cells"][:]
assert stored.dtype == np.int16 and (stored == -25536).all()
assert (stored.view(np.uint16) == volume).all()
print("40000 is read as", stored.dtype, stored.min(), "- viewed as uint16", stored.view(np.uint16).min())
PYTHON
