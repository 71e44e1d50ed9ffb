#!/usr/bin/env bash
# A filter in polars for large values keeps NaN, and the maximum leaves it out.
#
# Guess: a comparison with NaN is false, as in NumPy and pandas, so the filter drops it.
# Seen: NaN counts as larger than every number and equal to itself when filtered and sorted, and yet max() is the
#   largest number.
# Versions: polars 2.1.0; Python 3.11.
# Prints: of 1, NaN, 5 the filter above 2 keeps nan, 5.0 - maximum 5.0, NaN == NaN True
# Why it matters: measurements that could not be made (the mean of an object without voxels) pass every filter for
#   large objects.
# Source: polars user guide, "Missing data" (NaN is a float, not missing; comparisons treat it as the largest).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'polars==2.1.0'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import polars as pl

table = pl.DataFrame({"volume": [1.0, float("nan"), 5.0]})
kept = table.filter(pl.col("volume") > 2)["volume"].to_list()
largest = table["volume"].max()
alike = pl.Series([float("nan")]).eq(pl.Series([float("nan")])).to_list()[0]
assert [str(v) for v in kept] == ["nan", "5.0"] and largest == 5 and alike is True
print("of 1, NaN, 5 the filter above 2 keeps", ", ".join(map(str, kept)), f"- maximum {largest}, NaN == NaN {alike}")
PYTHON
