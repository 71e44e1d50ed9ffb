#!/usr/bin/env bash
# The numbers that cc3d.largest_k gives depend on whether fastremap is installed.
#
# Guess: the k largest components are numbered by size, from the largest or from the smallest.
# Seen: without fastremap label 1 is the smallest of them and k the largest; with it, or where the image has no more
#   than k components, they are numbered by their place in the image.
# Versions: connected-components-3d 4.1.1, numpy 2.4.6, fastremap 1.21.0; Python 3.11.
# Prints: components of 3, 10, 6 and 1 voxels, labels 1 2 3: 3 6 10 voxels - with fastremap 3 10 6
# Why it matters: code that takes a label for the cell body, or for the tissue itself, finds another object in another
#   environment with the same version of cc3d; fastremap comes with cloud-volume and other tools of the field.
# Source: connected-components-3d issue 118 (no order is promised); fastremap is used when it can be imported.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'connected-components-3d==4.1.1' 'numpy==2.4.6'
cd "$work"
cat > sizes.py <<'PYTHON'
import cc3d
import numpy as np

mask = np.zeros((40, 1, 1), np.uint8)
mask[0:3] = mask[5:15] = mask[20:26] = mask[30:31] = 1
largest = cc3d.largest_k(mask, k=3)
assert largest.max() == 3
print(*[int((largest == k).sum()) for k in (1, 2, 3)])
PYTHON
without=$("$work/venv/bin/python" sizes.py)
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'fastremap==1.21.0'
with=$("$work/venv/bin/python" sizes.py)
[ "$without" = '3 6 10' ] && [ "$with" = '3 10 6' ]
echo "components of 3, 10, 6 and 1 voxels, labels 1 2 3: $without voxels - with fastremap $with"
