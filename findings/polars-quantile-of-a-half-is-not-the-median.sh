#!/usr/bin/env bash
# polars' quantile(0.5) is not its median.
#
# Guess: both interpolate, as in NumPy, pandas and Arrow; of 1, 2, 3, 4 both are 2.5.
# Seen: median interpolates, quantile takes the nearest value unless told otherwise: 3.0.
# Versions: polars 2.1.0; Python 3.11.
# Prints: of 1, 2, 3, 4: median 2.5, quantile(0.5) 3.0, with interpolation="linear" 2.5
# Why it matters: quartiles of a few organelles in a figure, and the whiskers from them, are not those of the same
#   table in pandas.
# Source: polars documentation of quantile (interpolation="nearest").
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'polars==2.1.0'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import polars as pl

values = pl.Series([1, 2, 3, 4])
median, nearest, linear = values.median(), values.quantile(0.5), values.quantile(0.5, interpolation="linear")
assert (median, nearest, linear) == (2.5, 3.0, 2.5), (median, nearest, linear)
print(f'of 1, 2, 3, 4: median {median}, quantile(0.5) {nearest}, with interpolation="linear" {linear}')
PYTHON
