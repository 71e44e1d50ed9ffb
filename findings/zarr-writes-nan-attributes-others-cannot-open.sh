#!/usr/bin/env bash
# A NaN among the attributes makes a Zarr array unreadable for other implementations.
#
# Guess: Zarr attributes are JSON, so NaN is refused, or stored as a string as the fill value is.
# Seen: zarr-python writes the bare word NaN, which is not JSON, and reads it back; TensorStore reports DATA_LOSS and
#   cannot open the array at all.
# Versions: zarr 3.1.6, tensorstore 0.1.86, numpy 2.4.6; Python 3.11.
# Prints: zarr.json says NaN: zarr-python reads nan, TensorStore says Invalid JSON
# Why it matters: statistics such as the mean of an empty mask end up in attributes; the volume then opens on the
#   cluster and not in a viewer.
# Source: RFC 8259 (no NaN in JSON); Zarr v3 specification (metadata documents are JSON).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'zarr==3.1.6' 'tensorstore==0.1.86' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import json
import os

import tensorstore as ts
import zarr

def strict(path):
    def refuse(word):
        raise ValueError(word)

    return json.loads(open(path).read(), parse_constant=refuse)

def open_elsewhere(name):
    path = os.path.abspath(name)
    return ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": path}}).result()

for name, mean in (("good.zarr", 0.5), ("bad.zarr", float("nan"))):
    zarr.create_array(name, shape=(4,), dtype="uint8", attributes={"mean": mean})
assert open_elsewhere("good.zarr").shape == (4,)
assert strict("good.zarr/zarr.json")["attributes"] == {"mean": 0.5}
assert str(zarr.open_array("bad.zarr").attrs["mean"]) == "nan"
try:
    strict("bad.zarr/zarr.json")
except ValueError as error:
    assert str(error) == "NaN"
else:
    raise SystemExit("zarr.json is strict JSON")
try:
    open_elsewhere("bad.zarr")
except ValueError as error:
    assert "Invalid JSON" in str(error)
else:
    raise SystemExit("TensorStore opened the array")
print("zarr.json says NaN: zarr-python reads nan, TensorStore says Invalid JSON")
PYTHON
