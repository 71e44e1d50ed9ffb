#!/usr/bin/env bash
# The normals of skimage.measure.marching_cubes are those of isotropic voxels, and point against the faces.
#
# Guess: with spacing=(5, 1, 1) vertices and normals are both in physical units, and the normals agree with the
#   winding of the faces.
# Seen: the vertices are scaled, the normals are not: on a plane tilted by 45 degrees they are off by 34 degrees, and
#   they point to the other side than the triangles do.
# Versions: scikit-image 0.26.0, numpy 2.4.6; Python 3.11.
# Prints: faces lie in the plane; vertex normals are 33.7 degrees off and point against the faces
# Why it matters: EM volumes are mostly anisotropic; a mesh shaded or thickened by these normals shows wrong relief,
#   or lights the inside of a cell.
# Source: behaviour of the released package; scikit-image issues 1771 and 1803 concern the winding of the faces only.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'scikit-image==0.26.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from skimage.measure import marching_cubes

spacing = (5.0, 1.0, 1.0)
z, _, x = np.mgrid[:20, :40, :40]
field = z * spacing[0] + x * spacing[2]  # its isosurface is a plane with the normal (1, 0, 1) / sqrt(2)
true_normal = np.array([1, 0, 1]) / np.sqrt(2)
vertices, faces, normals, _ = marching_cubes(field, 60.3, spacing=spacing)

a, b, c = (vertices[faces[:, k]] for k in range(3))
face_normals = np.cross(b - a, c - a)
face_normals = face_normals[np.linalg.norm(face_normals, axis=1) > 1e-6]
mean_face = face_normals.sum(axis=0) / np.linalg.norm(face_normals.sum(axis=0))
mean_vertex = normals.mean(axis=0) / np.linalg.norm(normals.mean(axis=0))
off = np.degrees(np.arccos(abs(mean_vertex @ true_normal)))
assert np.degrees(np.arccos(min(1.0, abs(mean_face @ true_normal)))) < 0.1
assert 33 < off < 35, off
assert mean_vertex @ mean_face < 0
print(f"faces lie in the plane; vertex normals are {off:.1f} degrees off and point against the faces")
PYTHON
