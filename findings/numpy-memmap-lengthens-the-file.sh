#!/usr/bin/env bash
# numpy.memmap in mode r+ makes a raw file longer when the shape does not fit.
#
# Guess: a shape larger than the file raises, in r+ as it does in r; opening changes nothing on disk.
# Seen: in r+ the file is extended with zeros to the shape asked for, at once and for good.
# Versions: numpy 2.4.6; Python 3.11.
# Prints: a file of 100 bytes opened as 10 x 20: mode r raises, mode r+ leaves a file of 200 bytes
# Why it matters: raw EM volumes carry no header: one wrong guess at the dimensions changes the original, and its size
#   no longer tells the true ones.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import os

import numpy as np

def size():
    return os.path.getsize("volume.raw")

np.zeros((10, 10), np.uint8).tofile("volume.raw")
try:
    np.memmap("volume.raw", np.uint8, "r", shape=(10, 20))
except ValueError:
    assert size() == 100
else:
    raise SystemExit("mode r took too large a shape")
np.memmap("volume.raw", np.uint8, "r+", shape=(10, 20))
assert size() == 200
print("a file of 100 bytes opened as 10 x 20: mode r raises, mode r+ leaves a file of", size(), "bytes")
PYTHON
