#!/usr/bin/env bash
# nifti-reader-js returns the voxels of a big-endian NIfTI file with their bytes swapped.
#
# Guess: readImage gives voxels ready for a typed array, as the header, which is read in the right byte order,
#   suggests; only scl_slope may be left to the caller.
# Seen: it returns the bytes of the file: a Uint16Array of 1, 2, 300 reads 256, 512, 11265. header.littleEndian tells.
#   scl_slope is not applied either.
# Versions: nifti-reader-js 0.8.0; Node.js 20.
# Prints: header is right (4 voxels, slope 2) - little-endian: 1 2 300 - big-endian: 256 512 11265
# Why it matters: a viewer made from the example code shows older big-endian volumes as noise, and labels that were
#   stored with a slope under other numbers.
# Source: behaviour of the released package; NIfTI-1 standard (either byte order, scl_slope).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . 'nifti-reader-js@0.8.0' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import * as nifti from "nifti-reader-js";

function volume(littleEndian) {
  const bytes = new ArrayBuffer(352 + 8);
  const view = new DataView(bytes);
  view.setInt32(0, 348, littleEndian);
  [3, 4, 1, 1, 1, 1, 1, 1].forEach((size, i) => view.setInt16(40 + 2 * i, size, littleEndian));
  view.setInt16(70, 512, littleEndian);  // uint16
  view.setInt16(72, 16, littleEndian);
  for (let i = 0; i < 4; i++) view.setFloat32(76 + 4 * i, 1, littleEndian);
  view.setFloat32(108, 352, littleEndian);
  view.setFloat32(112, 2, littleEndian);  // scl_slope
  new Uint8Array(bytes).set([0x6e, 0x2b, 0x31, 0], 344);
  [1, 2, 300, 4].forEach((voxel, i) => view.setUint16(352 + 2 * i, voxel, littleEndian));
  return bytes;
}

const [little, big] = [true, false].map((littleEndian) => {
  const header = nifti.readHeader(volume(littleEndian));
  assert.equal(header.dims[1], 4);
  assert.equal(header.scl_slope, 2);
  assert.equal(header.littleEndian, littleEndian);
  return new Uint16Array(nifti.readImage(header, volume(littleEndian))).slice(0, 3);
});
assert.deepEqual([...little], [1, 2, 300]);
assert.deepEqual([...big], [256, 512, 11265]);
console.log("header is right (4 voxels, slope 2) - little-endian:", little.join(" "), "- big-endian:", big.join(" "));
JAVASCRIPT
node run.mjs
