#!/usr/bin/env bash
# pyarrow's cumulative_sum of uint8 wraps although its sum does not.
#
# Guess: both add in 64 bits: the last of the cumulative sums is the sum.
# Seen: sum gives uint64 400, cumulative_sum stays uint8 and ends at 144; cumulative_sum_checked raises.
# Versions: pyarrow 26.0.1; Python 3.11.
# Prints: 200 + 200 as uint8: sum 400, cumulative [200, 144]
# Why it matters: offsets of objects in a flat file, accumulated from small counts, point back into the file.
# Source: behaviour of the released package; Arrow documentation (the unchecked variants wrap around).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'pyarrow==26.0.1'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import pyarrow as pa
import pyarrow.compute as pc

counts = pa.array([200, 200], pa.uint8())
total, running = pc.sum(counts).as_py(), pc.cumulative_sum(counts).to_pylist()
assert total == 400 and running == [200, 144], (total, running)
try:
    pc.cumulative_sum_checked(counts)
except pa.ArrowInvalid:
    print(f"200 + 200 as uint8: sum {total}, cumulative {running}")
PYTHON
