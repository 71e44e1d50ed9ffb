#!/usr/bin/env bash
# three.js' mergeVertices makes one vertex of a mesh that is given in metres.
#
# Guess: vertices at the same place are merged; how near is relative to the size of the mesh.
# Seen: the tolerance is 0.0001 in the units of the mesh: the 24 vertices of a cube of 10 micrometres are 8 in
#   micrometres and 1 in metres.
# Versions: three 0.187.0; Node.js 20.
# Prints: vertices of a cube of 10 micrometres: in micrometres 8, in metres 1
# Why it matters: glTF files are in metres: a cell exported to one by the standard and cleaned with the usual call
#   disappears.
# Source: three.js documentation of BufferGeometryUtils.mergeVertices (tolerance 1e-4); glTF 2.0 (units are metres).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . 'three@0.187.0' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import {BoxGeometry} from "three";
import {mergeVertices} from "three/examples/jsm/utils/BufferGeometryUtils.js";

function merged(size) {
  const cube = new BoxGeometry(size, size, size);
  assert.equal(cube.attributes.position.count, 24);
  cube.deleteAttribute("normal");
  cube.deleteAttribute("uv");
  return mergeVertices(cube).attributes.position.count;
}

const [micrometres, metres] = [merged(10), merged(10e-6)];
assert.deepEqual([micrometres, metres], [8, 1]);
console.log(`vertices of a cube of 10 micrometres: in micrometres ${micrometres}, in metres ${metres}`);
JAVASCRIPT
node run.mjs
