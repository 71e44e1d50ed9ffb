#!/usr/bin/env bash
# pandas.merge of a uint64 and an int64 column joins label 2**53 + 1 to 2**53 when the rows are not sorted.
#
# Guess: integers are compared as integers, as ==, isin and get_indexer do with the same two columns; the order of the
#   rows changes the order of the result alone.
# Seen: of sorted tables labels are compared exactly, of others as float64: above 2**53 neighbours are one label. No
#   warning, and the result has the labels of the left table as uint64. Columns of one type are always right.
# Versions: pandas 3.1.1, numpy 2.4.6; Python 3.11.
# Prints: rows joined: sorted 0, unsorted 1, unsorted of one type 0
# Why it matters: label tables come as uint64 from one tool and as int64 from another (SQL, JSON, CSV): classes are
#   joined to the neighbouring supervoxel, and a test with a sorted table shows nothing.
# Source: pandas/core/reshape/merge.py (uint64 with a signed type goes through float64 "in the fallback path").
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'pandas==3.1.1' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import pandas as pd

def joined(order, kind=np.int64):
    sizes = pd.DataFrame({"label": np.array([5, 2**53 + 1], np.uint64), "voxels": [10, 20]})[::order]
    classes = pd.DataFrame({"label": np.array([7, 2**53], kind), "kind": ["nucleus", "vesicle"]})
    assert not sizes["label"].isin(classes["label"]).any()
    return len(sizes.merge(classes, on="label"))

ordered, unordered, alike = joined(1), joined(-1), joined(-1, np.uint64)
assert (ordered, unordered, alike) == (0, 1, 0), (ordered, unordered, alike)
print(f"rows joined: sorted {ordered}, unsorted {unordered}, unsorted of one type {alike}")
PYTHON
