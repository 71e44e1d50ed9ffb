#!/usr/bin/env bash
# pyarrow reads the labels of a CSV file as doubles when one of them is above 2**63.
#
# Guess: integers are read as int64, or as uint64 where they need it; pandas does so.
# Seen: uint64 is never tried: the column is double, and 2**63 + 1 and 2**63 + 2 become one number. convert_options
#   state the type.
# Versions: pyarrow 26.0.1; Python 3.11.
# Prints: 2**63 + 1 and 2**63 + 2 are read as 1 double - as 2 uint64 when the type is stated
# Why it matters: supervoxel ids with the highest bit set are ordinary in hashed or chunk-encoded segmentations; a
#   table with one of them merges its neighbours.
# Source: Arrow documentation of CSV type inference (null, int64, boolean, date, time, timestamp, double, string).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'pyarrow==26.0.1'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import io

import pyarrow as pa
from pyarrow import csv

text = f"label\n{2**63 + 1}\n{2**63 + 2}\n".encode()
guessed = csv.read_csv(io.BytesIO(text))["label"]
options = csv.ConvertOptions(column_types={"label": pa.uint64()})
stated = csv.read_csv(io.BytesIO(text), convert_options=options)["label"]
assert pa.types.is_float64(guessed.type) and len(guessed.unique()) == 1
assert stated.to_pylist() == [2**63 + 1, 2**63 + 2]
print(f"2**63 + 1 and 2**63 + 2 are read as {len(guessed.unique())} {guessed.type} -",
      f"as {len(stated.unique())} {stated.type} when the type is stated")
PYTHON
