#!/usr/bin/env bash
# vtk.js makes the surface of a turned image at the place where it would be unturned.
#
# Guess: the contour of an image lies where its voxels lie: origin, spacing and direction all count, as in VTK itself.
# Seen: vtkImageMarchingCubes applies origin and spacing only: the surface around a voxel at (-3, 2, 4) is around (2,
#   3, 4).
# Versions: @kitware/vtk.js 37.4.3; Node.js 20.
# Prints: the voxel is at -3 2 4, its surface around 2 3 4
# Why it matters: images from NIfTI, NRRD or DICOM have directions: the mesh of a segmentation floats beside the
#   slices of the same image.
# Source: behaviour of the released package; vtk-js issues 499 and 2955 (the same of marching squares).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . '@kitware/vtk.js@37.4.3' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import vtkDataArray from "@kitware/vtk.js/Common/Core/DataArray.js";
import vtkImageData from "@kitware/vtk.js/Common/DataModel/ImageData.js";
import vtkImageMarchingCubes from "@kitware/vtk.js/Filters/General/ImageMarchingCubes.js";

const image = vtkImageData.newInstance({direction: [0, 1, 0, -1, 0, 0, 0, 0, 1]});
image.setDimensions(5, 6, 7);
const values = new Float32Array(5 * 6 * 7);
values[2 + 5 * 3 + 30 * 4] = 1;
image.getPointData().setScalars(vtkDataArray.newInstance({name: "mask", values}));
const filter = vtkImageMarchingCubes.newInstance({contourValue: 0.5, mergePoints: true});
filter.setInputData(image);
const [x0, x1, y0, y1, z0, z1] = filter.getOutputData().getBounds();
const centre = [(x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2];
const voxel = [...image.indexToWorld([2, 3, 4])];
console.log(`the voxel is at ${voxel.join(" ")}, its surface around ${centre.join(" ")}`);
assert.deepEqual(voxel, [-3, 2, 4]);
assert.deepEqual(centre, [2, 3, 4]);
JAVASCRIPT
node run.mjs
