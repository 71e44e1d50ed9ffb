#!/usr/bin/env bash
# pandas.concat of a uint64 and an int64 column is float64.
#
# Guess: two integer columns without a gap stay integers, int64 or object where one does not hold both.
# Seen: the result is float64 and 2**60 + 1 becomes 2**60, without a warning. polars and Arrow keep the labels.
# Versions: pandas 3.1.1, numpy 2.4.6; Python 3.11.
# Prints: uint64 and int64 become float64: 1152921504606846977 is 1152921504606846976
# Why it matters: a table of one block read from a file has int64 labels, that of the next computed from the volume
#   uint64: the joined table has merged ids.
# Source: NumPy's promotion of uint64 and int64 to float64, which pandas follows.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'pandas==3.1.1' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import pandas as pd

label = 2**60 + 1
read = pd.DataFrame({"label": np.array([5], np.int64)})
computed = pd.DataFrame({"label": np.array([label], np.uint64)})
both = pd.concat([computed, read])["label"]
assert both.dtype == np.float64 and int(both.iloc[0]) == 2**60
assert pd.concat([computed, read.astype(np.uint64)])["label"].iloc[0] == label
print(f"uint64 and int64 become {both.dtype}: {label} is {int(both.iloc[0])}")
PYTHON
