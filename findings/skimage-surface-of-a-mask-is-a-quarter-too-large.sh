#!/usr/bin/env bash
# The surface of a mesh that marching cubes makes of a mask is a quarter too large where sections are thick, however large
# the object.
#
# Guess: mesh_surface_area(*marching_cubes(mask, 0.5, spacing=...)[:2]), the way that scikit-image's documentation names,
#   is right to a few per cent, and the finer the better.
# Seen: of a ball in voxels of 8 nm it is 9 % too large, at any radius; in sections of 50 nm with pixels of 8 nm it is 21 %
#   too large at a radius of 300 nm and 23 % at one of 1000 nm: steps stay steps, whose sides are counted.
# Versions: scikit-image 0.26.0, numpy 2.4.6; Python 3.11.
# Prints: voxels (8, 8, 8): radius 300 nm +8.7 %, radius 1000 nm +8.8 %
#   voxels (50, 8, 8): radius 300 nm +21.3 %, radius 1000 nm +23.0 %
# Why it matters: surfaces of organelles, and what follows from them (surface to volume, sphericity), depend on how thick
#   sections are, and differ from microscope to microscope for the same tissue.
# Source: behaviour of the released package; smooth a mask before, or count lines that cross its surface (Crofton).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'scikit-image==0.26.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from skimage.measure import marching_cubes, mesh_surface_area


def error(size_nm, radius_nm):
    sides = [2 * int(radius_nm / size) + 7 for size in size_nm]
    grids = np.ogrid[tuple(slice(0, n) for n in sides)]
    mask = sum(((g - (n - 1) / 2) * s) ** 2 for g, n, s in zip(grids, sides, size_nm)) <= radius_nm**2
    vertices, faces, *_ = marching_cubes(mask, 0.5, spacing=size_nm)
    return mesh_surface_area(vertices, faces) / (4 * np.pi * radius_nm**2) - 1


for size_nm, low, high in (((8, 8, 8), 0.08, 0.10), ((50, 8, 8), 0.21, 0.26)):
    errors = {radius: error(size_nm, radius) for radius in (300, 1000)}
    assert all(low < each < high for each in errors.values()), errors
    print(f"voxels {size_nm}:", ", ".join(f"radius {radius} nm {each:+.1%}".replace("%", " %") for radius, each in errors.items()))
PYTHON
