#!/usr/bin/env bash
# pandas.to_json writes 4.25e-9 as 4.2e-9 and 12 picometres as 0.
#
# Guess: floats are written so that they are read back as they were, as json.dumps does, or with some number of
#   significant digits.
# Seen: ten decimals after the point are kept, whatever the size of the number.
# Versions: pandas 3.1.1, numpy 2.4.6; Python 3.11.
# Prints: 4.25e-09 m is read back as 4.2e-09, 1.2e-11 m as 0.0 - json.dumps keeps 4.25e-09 1.2e-11
# Why it matters: voxel sizes in metres, as microscopes report them, lose a percent, and shifts or drifts below 0.1 nm
#   vanish.
# Source: pandas documentation of to_json (double_precision=10).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'pandas==3.1.1' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import io
import json

import pandas as pd

sizes = [4.25e-9, 1.2e-11]
back = pd.read_json(io.StringIO(pd.DataFrame({"metres": sizes}).to_json()))["metres"].tolist()
plain = json.loads(json.dumps(sizes))
assert back == [4.2e-9, 0.0] and plain == sizes, back
print(f"{sizes[0]} m is read back as {back[0]}, {sizes[1]} m as {back[1]} - json.dumps keeps", *plain)
PYTHON
