#!/usr/bin/env bash
# pandas' diff of a uint8 column gives 254.0 for 3 after 5.
#
# Guess: the result is float64 (its first value is NaN), so the difference is -2.0.
# Seen: the numbers are subtracted in the unsigned type and turned into floats afterwards: 254.0 for uint8, 65534.0
#   for uint16.
# Versions: pandas 3.1.1, numpy 2.4.6; Python 3.11.
# Prints: 3 after 5: uint8 254.0, uint16 65534.0, int16 -2.0
# Why it matters: the change of brightness from section to section, of 8-bit means or thresholds, jumps by 256
#   wherever it falls.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'pandas==3.1.1' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import pandas as pd

found = {}
for kind in (np.uint8, np.uint16, np.int16):
    steps = pd.Series([5, 3], dtype=kind).diff()
    assert np.issubdtype(steps.dtype, np.floating) and np.isnan(steps.iloc[0])
    found[np.dtype(kind).name] = float(steps.iloc[1])
assert found == {"uint8": 254.0, "uint16": 65534.0, "int16": -2.0}, found
print("3 after 5:", ", ".join(f"{name} {step}" for name, step in found.items()))
PYTHON
