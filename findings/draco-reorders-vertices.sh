#!/usr/bin/env bash
# A mesh encoded and decoded by DracoPy has its vertices in another order.
#
# Guess: Draco rounds coordinates to 14 bits, so they come back slightly moved, in the order given; faces keep their
#   order too.
# Seen: vertices and faces are reordered; preserve_order=True keeps them.
# Versions: DracoPy 2.2.0, numpy 2.4.6; Python 3.11.
# Prints: vertices 0..3 come back as [0, 3, 2, 1] - with preserve_order as [0, 1, 2, 3]
# Why it matters: Draco is the mesh format of precomputed segmentations; arrays kept beside the mesh, such as one
#   label or distance for each vertex, belong to other vertices after a round trip.
# Source: DracoPy README, preserve_order.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'DracoPy==2.2.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import DracoPy
import numpy as np

vertices = np.array([[0, 0, 0], [1000, 0, 0], [0, 1000, 0], [0, 0, 1400]], float)
faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], np.uint32)

def order(**options):
    points = DracoPy.decode(DracoPy.encode(vertices, faces, **options)).points
    distance = np.linalg.norm(points[:, None] - vertices[None], axis=2)
    assert distance.min(axis=1).max() < 0.2
    return distance.argmin(axis=1).tolist()

default, preserved = order(), order(preserve_order=True)
assert sorted(default) == preserved == [0, 1, 2, 3] != default
print("vertices 0..3 come back as", default, "- with preserve_order as", preserved)
PYTHON
