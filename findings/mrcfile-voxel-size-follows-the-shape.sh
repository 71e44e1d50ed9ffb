#!/usr/bin/env bash
# mrcfile changes the voxel size when the data or the kind of volume changes after it.
#
# Guess: voxel_size, once set, is a property of the file: other data, or calling the volume an image stack, leaves it
#   alone.
# Seen: the header stores the edge of the whole cell, and that is what is kept: data twice as wide halves the voxel
#   size in x from 40 to 20 angstrom, and set_image_stack on ten sections makes it 400 in z.
# Versions: mrcfile 1.5.4, numpy 2.4.6; Python 3.11.
# Prints: voxel size x, y, z: set to 40, after wider data (20.0, 40.0, 40.0) - as an image stack (40.0, 40.0, 400.0)
# Why it matters: cropping or padding a volume in an open file, or marking a tilt series as a stack, rescales every
#   measurement made from it.
# Source: MRC2014 format (cella, mx, my, mz); mrcfile's documentation of voxel_size.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'mrcfile==1.5.4' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import mrcfile
import numpy as np

with mrcfile.new("volume.mrc") as mrc:
    mrc.set_data(np.zeros((10, 10, 10), np.int16))
    mrc.voxel_size = 40.0
    mrc.set_data(np.zeros((10, 10, 20), np.int16))
    wider = mrc.voxel_size.tolist()
with mrcfile.new("stack.mrc") as mrc:
    mrc.set_data(np.zeros((10, 10, 10), np.int16))
    mrc.voxel_size = 40.0
    mrc.set_image_stack()
    stack = mrc.voxel_size.tolist()
assert wider == (20, 40, 40), wider
assert stack == (40, 40, 400), stack
print("voxel size x, y, z: set to 40, after wider data", wider, "- as an image stack", stack)
PYTHON
