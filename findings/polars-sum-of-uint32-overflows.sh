#!/usr/bin/env bash
# polars adds up a UInt32 column in 32 bits, though it widens smaller types.
#
# Guess: a sum is as wide as it has to be: UInt8 columns are summed as Int64, so UInt32 ones too.
# Seen: only 8 and 16 bits are widened: twice 2**31 voxels are 0, also in group_by, while the mean is right.
# Versions: polars 2.1.0; Python 3.11.
# Prints: twice 2**31 as UInt32: sum 0, mean 2147483648.0, grouped 0 - twice 200 as UInt8: 400
# Why it matters: voxel counts are uint32 in many tables (and polars' own counts are): the volume of a class in a data
#   set of more than 4 billion voxels is too small by a multiple of them.
# Source: polars documentation of sum (8 and 16 bits are cast to Int64 before summing).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'polars==2.1.0'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import polars as pl

voxels = pl.Series("voxels", [2**31, 2**31], dtype=pl.UInt32)
grouped = pl.DataFrame({"class": [1, 1], "voxels": voxels}).group_by("class").agg(pl.col("voxels").sum()).rows()[0][1]
small = pl.Series([200, 200], dtype=pl.UInt8).sum()
assert voxels.sum() == 0 and voxels.mean() == 2**31 and grouped == 0 and small == 400
print(f"twice 2**31 as UInt32: sum {voxels.sum()}, mean {voxels.mean()}, grouped {grouped} -",
      f"twice 200 as UInt8: {small}")
PYTHON
