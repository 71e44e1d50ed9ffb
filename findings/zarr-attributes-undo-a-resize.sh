#!/usr/bin/env bash
# Setting an attribute through an older handle of a Zarr array undoes another handle's resize.
#
# Guess: attributes and shape are separate; writing one key of the attributes leaves the shape on disk alone.
# Seen: both live in zarr.json and a handle writes all that it remembers: after the attribute is set the array has its
#   old shape again, and the sections appended meanwhile can no longer be read.
# Versions: zarr 3.1.6, numpy 2.4.6; Python 3.11.
# Prints: shape after the other handle's resize (20, 4, 4) - after an attribute was set (10, 4, 4)
# Why it matters: one process appends sections as they are acquired, another notes the voxel size or a status: the
#   volume shrinks back, with the chunks still in place.
# Source: behaviour of the released package, a consequence of the Zarr v3 layout (one document holds shape and
#   attributes).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'zarr==3.1.6' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import zarr

first = zarr.create_array("volume.zarr", shape=(10, 4, 4), chunks=(5, 4, 4), dtype="uint8")
second = zarr.open_array("volume.zarr")
second.resize((20, 4, 4))
second[:] = 3
grown = zarr.open_array("volume.zarr").shape
first.attrs["voxel_size_nm"] = [40, 4, 4]
after = zarr.open_array("volume.zarr").shape
assert grown == (20, 4, 4) and after == (10, 4, 4), (grown, after)
print("shape after the other handle's resize", grown, "- after an attribute was set", after)
PYTHON
