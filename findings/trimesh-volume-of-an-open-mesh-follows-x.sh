#!/usr/bin/env bash
# trimesh gives a cube without one side the volume 1.0 or 0.5, or -99.5, by the axis of the side and the place in x.
#
# Guess: a mesh that is not closed has no volume, NaN or an error; or the same number wherever it lies and however it
#   is turned.
# Seen: the integral runs along x: without its upper side in y or z the cube has 1.0 everywhere, without the one in x
#   0.5, -99.5 a hundred units further on and 100.5 on the other side.
# Versions: trimesh 5.2.0, numpy 2.4.6; Python 3.11.
# Prints: cube open in x: 0.5, moved along x -99.5 and 100.5 - open in y or z: 1.0, 1.0 and 1.0
# Why it matters: cells cut by the border of a block are open: their volume is right, slightly wrong or negative by
#   the face of the block that cuts them. is_watertight tells.
# Source: behaviour of the released package, which documents the volume of watertight meshes only.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'trimesh==5.2.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import trimesh

cube = trimesh.creation.box(extents=(1, 1, 1))
found = []
for axis in range(3):
    faces = cube.faces[cube.face_normals[:, axis] < 0.5]
    meshes = [trimesh.Trimesh(cube.vertices + [x, 0, 0], faces, process=False) for x in (0, 100, -100)]
    assert not any(mesh.is_watertight for mesh in meshes)
    found.append([round(float(mesh.volume), 1) for mesh in meshes])
assert found[0] == [0.5, -99.5, 100.5] and found[1] == found[2] == [1.0, 1.0, 1.0], found
(here, right, left), (y, up, down), _ = found
print(f"cube open in x: {here}, moved along x {right} and {left} - open in y or z: {y}, {up} and {down}")
PYTHON
