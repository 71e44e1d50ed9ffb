#!/usr/bin/env bash
# Slices written to a TIFF one after the other with tifffile read back as the first one alone.
#
# Guess: a loop of TiffWriter.write, or of imwrite with append=True, makes a stack: imread gives (5, y, x).
# Seen: every call starts a series of its own and imread returns the first: (y, x). With metadata=None, or
#   contiguous=True, the same loop reads as (5, y, x).
# Versions: tifffile 2026.3.3, numpy 2.4.6; Python 3.11.
# Prints: five pages read as {'default': (64, 64), 'metadata=None': (5, 64, 64), 'contiguous': (5, 64, 64), 'append':
#   (64, 64)}
# Why it matters: streaming a volume to disk section by section is the usual way when it does not fit in memory; the
#   file is complete, and every reader of it sees one section.
# Source: tifffile issue 30 and its documentation of series.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'tifffile==2026.3.3' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import tifffile

def written(**options):
    with tifffile.TiffWriter("stack.tif") as writer:
        for z in range(5):
            writer.write(np.full((64, 64), z, np.uint8), **options)
    with tifffile.TiffFile("stack.tif") as file:
        assert len(file.pages) == 5
    return tifffile.imread("stack.tif").shape

shapes = {"default": written(), "metadata=None": written(metadata=None), "contiguous": written(contiguous=True)}
for z in range(5):
    tifffile.imwrite("appended.tif", np.full((64, 64), z, np.uint8), append=z > 0)
shapes["append"] = tifffile.imread("appended.tif").shape
stack = (5, 64, 64)
assert shapes == {"default": (64, 64), "metadata=None": stack, "contiguous": stack, "append": (64, 64)}, shapes
print("five pages read as", shapes)
PYTHON
