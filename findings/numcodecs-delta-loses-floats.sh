#!/usr/bin/env bash
# numcodecs.Delta does not give floating point numbers back.
#
# Guess: a delta filter is a lossless transform: what was encoded is decoded.
# Seen: differences and sums are rounded in the type of the data: after 1e8, the float32 numbers 0.1, 0.2, 0.3 come
#   back as 0, 0.1, 0.2. Integers, which wrap, are exact.
# Versions: numcodecs 0.16.6, numpy 2.4.6; Python 3.11.
# Prints: 100000000.0 0.1 0.2 0.3 come back as 100000000.0 0.0 0.1 0.2
# Why it matters: one saturated or missing-value voxel in a row changes all that follow it in the chunk, in a store
#   that was configured with lossless compression.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'numcodecs==0.16.6' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from numcodecs import Delta

values = np.array([1e8, 0.1, 0.2, 0.3], "f4")
back = Delta("f4").decode(Delta("f4").encode(values)).copy()
numbers = np.array([0, 250, 3, 255], "u1")
assert np.array_equal(Delta("u1").decode(Delta("u1").encode(numbers)), numbers)
assert np.allclose(back, [1e8, 0, 0.1, 0.2]) and not np.allclose(back[1:], values[1:])
print(*np.round(values.astype(float), 3).tolist(), "come back as", *np.round(back.astype(float), 3).tolist())
PYTHON
