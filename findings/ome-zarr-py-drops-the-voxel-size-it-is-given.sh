#!/usr/bin/env bash
# ome-zarr-py writes voxels of size one without a unit, although it was given their size and unit.
#
# Guess: write_image stores the scale of coordinate_transformations and the units of axes, as the specification has
#   them and as its own earlier versions did; at the worst it refuses.
# Seen: both are dropped. coordinate_transformations is only called deprecated, and then ignored; the units in axes go
#   without a word. The same size as scale={...} and axes_units={...} is stored.
# Versions: ome-zarr 0.18.0, zarr 3.1.6, numpy 2.4.6; Python 3.11.
# Prints: given as transformations and units of axes: [1.0, 1.0, 1.0] no unit; as scale and axes_units: [10.0, 5.0, 4.0] nanometer
# Why it matters: an older script goes on writing files, which now state that a voxel is one something wide: surfaces,
#   volumes and distances are wrong by factors of a hundred, and labels no longer fit their image.
# Source: ome_zarr/writer.py, write_image; OME-Zarr 0.5, "multiscales" metadata.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'ome-zarr==0.18.0' 'zarr==3.1.6' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import json
import warnings
from pathlib import Path

import numpy as np
import zarr
from ome_zarr.writer import write_image

warnings.simplefilter("ignore")
volume = np.zeros((6, 24, 40), np.uint8)


def stated(name, **how):
    group = zarr.open_group(name, mode="w", zarr_format=3)
    write_image(volume, group, **how)
    image = json.loads(Path(name, "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]
    units = {axis.get("unit", "no unit") for axis in image["axes"]}
    (scale,) = (step["scale"] for step in image["datasets"][0]["coordinateTransformations"] if step["type"] == "scale")
    return f"{scale} {' '.join(units)}"


old = stated(
    "old.zarr",
    axes=[{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"],
    coordinate_transformations=[[{"type": "scale", "scale": [10.0, 5.0, 4.0]}]],
    scale_factors=[],
)
new = stated(
    "new.zarr",
    axes="zyx",
    scale={"z": 10.0, "y": 5.0, "x": 4.0},
    axes_units=dict.fromkeys("zyx", "nanometer"),
    scale_factors=[],
)
assert old == "[1.0, 1.0, 1.0] no unit", old
assert new == "[10.0, 5.0, 4.0] nanometer", new
print(f"given as transformations and units of axes: {old}; as scale and axes_units: {new}")
PYTHON
