#!/usr/bin/env bash
# Python's sqlite3 stores NumPy integers and floats as raw bytes in an INTEGER or REAL column.
#
# Guess: numpy.int64 is an integer: it is stored as one, or refused.
# Seen: any NumPy scalar but float64 is taken by its buffer and stored as a blob, b"\x05\x00...": no error on insert,
#   and WHERE id = 5 finds nothing. numpy.float64, a subclass of float, is stored well.
# Versions: numpy 2.4.6; Python 3.11.
# Prints: numpy.int64(5) is stored as blob and not found by id = 5; int(...) and numpy.float64 are integer real
# Why it matters: tables of segments filled from numpy.unique or regionprops look complete and answer no query.
# Source: Python documentation of sqlite3 (objects with a buffer become BLOB); the remedy is int(value) or
#   register_adapter.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import sqlite3

import numpy as np

table = sqlite3.connect(":memory:")
table.execute("CREATE TABLE segments (id INTEGER, volume REAL)")
for kind in (np.int64, np.uint32, np.uint8):
    table.execute("DELETE FROM segments")
    table.execute("INSERT INTO segments VALUES (?, ?)", (kind(5), np.float32(1.5)))
    (types,) = table.execute("SELECT typeof(id), typeof(volume) FROM segments").fetchall()
    (found,) = table.execute("SELECT count(*) FROM segments WHERE id = 5").fetchone()
    assert types == ("blob", "blob") and found == 0, (kind, types, found)
table.execute("INSERT INTO segments VALUES (?, ?)", (int(np.int64(5)), np.float64(1.5)))
(types,) = table.execute("SELECT typeof(id), typeof(volume) FROM segments WHERE id = 5").fetchall()
assert types == ("integer", "real")
print("numpy.int64(5) is stored as blob and not found by id = 5; int(...) and numpy.float64 are", *types)
PYTHON
