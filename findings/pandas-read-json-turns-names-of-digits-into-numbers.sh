#!/usr/bin/env bash
# pandas.read_json turns the strings "0012" and "0013" into 12 and 13.
#
# Guess: unlike CSV, JSON says that a value is a string, so it stays one.
# Seen: a column of strings that all look like numbers becomes int64, with the zeros lost; with one name that does
#   not, all stay strings. dtype=False keeps them.
# Versions: pandas 3.1.1, numpy 2.4.6; Python 3.11.
# Prints: strings "0012", "0013" become int64 [12, 13] - beside "12b" they stay ['0012', '12b'] - dtype=False keeps
#   ['0012', '0013']
# Why it matters: names of sections and tiles no longer match their files, and which type a column has depends on the
#   rows of that file.
# Source: pandas documentation of read_json (dtype=True infers the types).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'pandas==3.1.1' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import io

import pandas as pd

def read(names, **options):
    return pd.read_json(io.StringIO(pd.DataFrame({"section": names}).to_json()), **options)["section"]

digits, mixed, kept = read(["0012", "0013"]), read(["0012", "12b"]), read(["0012", "0013"], dtype=False)
assert digits.dtype == "int64" and digits.tolist() == [12, 13]
assert mixed.tolist() == ["0012", "12b"] and kept.tolist() == ["0012", "0013"]
print(f'strings "0012", "0013" become {digits.dtype} {digits.tolist()} - beside "12b" they stay {mixed.tolist()} -',
      f"dtype=False keeps {kept.tolist()}")
PYTHON
