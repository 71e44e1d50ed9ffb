#!/usr/bin/env bash
# A slice of a TensorStore array keeps its coordinates, and negative indices are not counted from the end.
#
# Guess: indexing follows NumPy: t[5:10][0] is element 5, t[-1] the last, t[0:100] is cut to the length.
# Seen: t[5:10] has the domain 5 to 9, so its element 5 is t[5:10][5], and [0], [-1], [-3:] and [0:100] all raise
#   OUT_OF_RANGE. With a step the coordinates are divided: t[4:10:2] starts at 2.
# Versions: tensorstore 0.1.86, numpy 2.4.6; Python 3.11.
# Prints: t[5:10] has the domain { [5, 10) } - [0], [-1], [-3:] and [0:100] raise IndexError
# Why it matters: code for blocks of a volume that was written for NumPy or Zarr reads elsewhere when it gets a
#   TensorStore view whose block does not start at 0.
# Source: TensorStore documentation, "Indexing" (differences from NumPy).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'tensorstore==0.1.86' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import tensorstore as ts

volume = ts.array(np.arange(20) * 10)
block = volume[5:10]
assert block[5].read().result() == 50
assert volume[4:10:2].domain.inclusive_min == (2,)
refused = 0
for read in (lambda: block[0], lambda: volume[-1], lambda: volume[-3:], lambda: volume[0:100]):
    try:
        read().read().result()
    except IndexError:
        refused += 1
assert refused == 4
print("t[5:10] has the domain", block.domain, "- [0], [-1], [-3:] and [0:100] raise IndexError")
PYTHON
