#!/usr/bin/env bash
# xarray.open_zarr turns the labels of a Zarr v2 array into floats and its background into NaN.
#
# Guess: fill_value says what a missing chunk holds; labels of uint64 stay uint64 and label 0 stays 0.
# Seen: for Zarr v2 the fill value is taken as a CF _FillValue: 0 becomes NaN, everything float64, and labels above
#   2**53 collapse. The same array in Zarr v3 is read as it is.
# Versions: xarray 2026.9.0, zarr 3.1.6, numpy 2.4.6; Python 3.11.
# Prints: Zarr v2: float64, background nan, 2 labels; v3: uint64, background 0, 3 labels
# Why it matters: OME-Zarr 0.4 volumes are Zarr v2 with a fill value of 0: segmentations lose their background and, if
#   large, their ids.
# Source: xarray documentation of open_zarr, use_zarr_fill_value_as_mask (its default depends on the Zarr format).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'xarray==2026.9.0' 'zarr==3.1.6' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import xarray as xr
import zarr

labels = np.array([0, 2**53, 2**53 + 1, 5], np.uint64)
read = {}
for version in (2, 3):
    group = zarr.open_group(f"v{version}.zarr", mode="w", zarr_format=version)
    names = {"attributes": {"_ARRAY_DIMENSIONS": ["x"]}} if version == 2 else {"dimension_names": ["x"]}
    group.create_array("labels", shape=(4,), dtype="uint64", fill_value=0, **names)[:] = labels
    read[version] = xr.open_zarr(f"v{version}.zarr", consolidated=False)["labels"].values
assert read[2].dtype == np.float64 and np.isnan(read[2][0])
assert read[3].dtype == np.uint64 and (read[3] == labels).all()
distinct = {version: len(np.unique(values[1:])) for version, values in read.items()}
assert distinct == {2: 2, 3: 3}, distinct
told = {v: f"{read[v].dtype}, background {read[v][0]}, {distinct[v]} labels" for v in (2, 3)}
print(f"Zarr v2: {told[2]}; v3: {told[3]}")
PYTHON
