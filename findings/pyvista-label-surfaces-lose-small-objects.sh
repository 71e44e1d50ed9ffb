#!/usr/bin/env bash
# PyVista's contour_labels gives a vesicle of 123 voxels a surface around the volume of 51.
#
# Guess: smoothing rounds off the steps of voxels; the bound on how far a point may move keeps size and place.
# Seen: the bound is the diagonal of a voxel, 1.7 voxels, so that surfaces are drawn together: a ball of radius 2 keeps
#   an eighth of its volume, a neurite of 2 x 2 voxels a twelfth, one of radius 20 all but 2 %. Without smoothing, or
#   with smooth_taubin after it, the volume is that of the voxels.
# Versions: pyvista 0.49.1, vtk 9.7.2, numpy 2.4.6; Python 3.11.
# Prints: voxels 123: contour_labels 51, smoothing=False 123, and smooth_taubin 124 - neurite of 96: 7, 96, 94
# Why it matters: volumes and areas of vesicles, and the looks of thin processes, are taken from such surfaces; large
#   objects show nothing of it.
# Source: PyVista documentation of contour_labels (smoothing_distance); VTK's vtkSurfaceNets3D.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'pyvista==0.49.1' 'vtk==9.7.2' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import pyvista

def volumes(mask):
    image = pyvista.ImageData(dimensions=mask.shape)
    image["inside"] = mask.astype(np.uint8).ravel(order="F")
    net = image.contour_labels(smoothing=False, output_mesh_type="triangles")
    meshes = (image.contour_labels(), net, net.smooth_taubin(n_iter=20, pass_band=0.1))
    return [round(float(mesh.volume)) for mesh in meshes]

vesicle = ((np.indices((11, 11, 11)) - 5) ** 2).sum(axis=0) <= 9
neurite = np.zeros((30, 8, 8), bool)
neurite[3:27, 3:5, 3:5] = True
ball, rod = volumes(vesicle), volumes(neurite)
assert vesicle.sum() == ball[1] == 123 and ball[0] < 60 and abs(ball[2] - 123) < 7, ball
assert neurite.sum() == rod[1] == 96 and rod[0] < 12 and abs(rod[2] - 96) < 7, rod
print(f"voxels 123: contour_labels {ball[0]}, smoothing=False {ball[1]}, and smooth_taubin {ball[2]} -",
      f"neurite of 96: {rod[0]}, {rod[1]}, {rod[2]}")
PYTHON
