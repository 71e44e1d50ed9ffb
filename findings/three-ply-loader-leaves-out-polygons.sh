#!/usr/bin/env bash
# three.js' PLYLoader leaves out faces of more than four corners.
#
# Guess: polygons are triangulated, as quadrilaterals are, or the file is refused.
# Seen: a triangle and a quadrilateral give three triangles, a pentagon in the same file gives none, without a
#   warning.
# Versions: three 0.187.0; Node.js 20.
# Prints: triangles from a face of 3, 4, 5 corners: 1 2 0
# Why it matters: meshes simplified or cut at a plane in other tools have caps of one polygon: they are shown with
#   holes, and their volume is wrong.
# Source: behaviour of the released package; the PLY format allows any number of corners.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . 'three@0.187.0' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import {PLYLoader} from "three/examples/jsm/loaders/PLYLoader.js";

function triangles(corners) {
  const ring = Array.from({length: corners}, (_, i) => [Math.cos(6.28 * i / corners), Math.sin(6.28 * i / corners), 0]);
  const lines = ["ply", "format ascii 1.0", `element vertex ${corners}`, "property float x", "property float y",
    "property float z", "element face 1", "property list uchar int vertex_indices", "end_header",
    ...ring.map((point) => point.join(" ")), [corners, ...ring.keys()].join(" "), ""];
  const mesh = new PLYLoader().parse(lines.join("\n"));
  assert.equal(mesh.attributes.position.count, corners);
  return mesh.index === null ? 0 : mesh.index.count / 3;
}

const found = [3, 4, 5].map(triangles);
assert.deepEqual(found, [1, 2, 0]);
console.log(`triangles from a face of 3, 4, 5 corners: ${found.join(" ")}`);
JAVASCRIPT
node run.mjs
