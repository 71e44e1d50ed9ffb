#!/usr/bin/env bash
# pyarrow.compute.divide of 1 by 2 is 0, and of -7 by 2 is -3.
#
# Guess: division gives a float, as / does in NumPy, pandas and polars, or rounds downwards as // does.
# Seen: integers are divided as in C, towards zero; one float among the arguments makes it 0.5.
# Versions: pyarrow 26.0.1; Python 3.11.
# Prints: 1 / 2 is 0, -7 / 2 is -3 - with 2.0: 0.5 and -3.5
# Why it matters: ratios of voxel counts, such as the fraction of a class in each block, are all 0 or 1 when the
#   columns are integers.
# Source: Arrow documentation of compute functions (divide truncates towards zero).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'pyarrow==26.0.1'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import pyarrow as pa
import pyarrow.compute as pc

counts = pa.array([1, -7])
whole, real = pc.divide(counts, 2).to_pylist(), pc.divide(counts, 2.0).to_pylist()
assert whole == [0, -3] and real == [0.5, -3.5], (whole, real)
print(f"1 / 2 is {whole[0]}, -7 / 2 is {whole[1]} - with 2.0: {real[0]} and {real[1]}")
PYTHON
