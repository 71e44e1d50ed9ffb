#!/usr/bin/env bash
# tifffile calls the first axis of an unnamed volume channels, in ImageJ and in OME-TIFF files.
#
# Guess: a three-dimensional array written for ImageJ or as OME-TIFF without axes is a z stack.
# Seen: its axes are CYX: five sections become five channels, for both formats (the same array in a plain TIFF has the
#   unknown axis Q).
# Versions: tifffile 2026.3.3, numpy 2.4.6; Python 3.11.
# Prints: axes read: {'imagej.tif': 'CYX', 'volume.ome.tif': 'CYX', 'named.tif': 'ZYX'}
# Why it matters: Fiji opens the volume as a composite of channels, OME readers report SizeZ 1 and SizeC 500, and a 3D
#   filter then works on single sections.
# Source: tifffile documentation of imwrite (axes order TZCYXS and DimensionOrder XYCZT).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'tifffile==2026.3.3' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import tifffile

volume = np.zeros((5, 64, 64), np.uint16)
tifffile.imwrite("imagej.tif", volume, imagej=True)
tifffile.imwrite("volume.ome.tif", volume)
tifffile.imwrite("named.tif", volume, imagej=True, metadata={"axes": "ZYX"})
axes = {}
for name in ("imagej.tif", "volume.ome.tif", "named.tif"):
    with tifffile.TiffFile(name) as file:
        axes[name] = file.series[0].axes
        if name == "volume.ome.tif":
            assert 'SizeC="5" SizeZ="1"' in file.ome_metadata
assert axes == {"imagej.tif": "CYX", "volume.ome.tif": "CYX", "named.tif": "ZYX"}, axes
print("axes read:", axes)
PYTHON
