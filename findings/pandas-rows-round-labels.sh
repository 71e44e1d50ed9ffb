#!/usr/bin/env bash
# A label read from a row of a pandas table is another one if the table has a column of floats.
#
# Guess: iterrows, loc[row] and apply along rows give each value with its column's type.
# Seen: a row is a Series of one type: with a float column beside it the uint64 label becomes float64, and 2**60 + 1
#   and 2**60 + 2 are both 2**60. itertuples gives them exactly.
# Versions: pandas 3.1.1, numpy 2.4.6; Python 3.11.
# Prints: two labels: iterrows 1, apply 1, loc 1 - itertuples 2
# Why it matters: loops over the rows of a table of objects, with the volume or the centroid beside the id, look up
#   and join the wrong supervoxels.
# Source: pandas documentation of iterrows (does not preserve dtypes across the rows).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'pandas==3.1.1' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import pandas as pd

table = pd.DataFrame({"label": np.array([2**60 + 1, 2**60 + 2], np.uint64), "volume": [0.5, 1.5]})
seen = {
    "iterrows": {int(row["label"]) for _, row in table.iterrows()},
    "apply": set(table.apply(lambda row: int(row["label"]), axis=1)),
    "loc": {int(table.loc[i]["label"]) for i in (0, 1)},
    "itertuples": {int(row.label) for row in table.itertuples()},
}
assert table["label"].nunique() == 2
assert seen["iterrows"] == seen["apply"] == seen["loc"] == {2**60}
assert seen["itertuples"] == {2**60 + 1, 2**60 + 2}
print(f"two labels: iterrows {len(seen['iterrows'])}, apply {len(seen['apply'])}, loc {len(seen['loc'])} -",
      f"itertuples {len(seen['itertuples'])}")
PYTHON
