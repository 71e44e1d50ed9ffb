#!/usr/bin/env bash
# numpy.searchsorted looks up a Python integer in a uint64 array by way of float64.
#
# Guess: integers are compared as integers, as == and isin do: a label looked up in the sorted labels is found at its
#   own place.
# Seen: above 2**53 it lands on a neighbour: 2**53 + 1 is "found" at the place of 2**53. intersect1d of uint64 labels
#   and a list reports a label in common that is in neither. A numpy.uint64 key is exact.
# Versions: numpy 2.4.6; Python 3.11.
# Prints: 2**53 + 1 is at 2; searchsorted(int) says 1, (uint64) 2; intersect1d has 1 in common
# Why it matters: segment ids of connectomics volumes often carry a level or a chunk in their high bits and are above
#   2**53; a relabelling table made by searchsorted gives a segment its neighbour's id.
# Source: numpy issues 29727 and 29719, open since 2025.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np

labels = np.array([2**53 - 2, 2**53, 2**53 + 1], np.uint64)
wanted = 2**53 + 1
by_int = int(np.searchsorted(labels, wanted))
by_uint64 = int(np.searchsorted(labels, np.uint64(wanted)))
assert (by_int, by_uint64) == (1, 2), (by_int, by_uint64)
assert (labels == wanted).tolist() == [False, False, True]
common = np.intersect1d(np.array([2**53 + 1], np.uint64), [2**53])
assert common.dtype == np.float64 and len(common) == 1
searched = f"searchsorted(int) says {by_int}, (uint64) {by_uint64}"
print(f"2**53 + 1 is at 2; {searched}; intersect1d has {len(common)} in common")
PYTHON
