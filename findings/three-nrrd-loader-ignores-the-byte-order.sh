#!/usr/bin/env bash
# three.js' NRRDLoader reads a big-endian volume as if it were little-endian.
#
# Guess: the field endian of the header says how the bytes lie, and the loader, which knows the field, swaps them.
# Seen: raw 16-bit voxels of both kinds of file come out the same: 1, 2, 300 of the big-endian one are 256, 512,
#   11265, and minimum and maximum follow.
# Versions: three 0.187.0; Node.js 20.
# Prints: 1 2 300 4: little-endian read as 1 2 300 4, big-endian as 256 512 11265 1024
# Why it matters: volumes written on older workstations or by Java tools are big-endian: a page shows noise, and a
#   segmentation has labels that nobody gave.
# Source: NRRD format definition, field endian; behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . 'three@0.187.0' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import {NRRDLoader} from "three/examples/jsm/loaders/NRRDLoader.js";

function volume(endian) {
  const lines = ["NRRD0004", "type: uint16", "dimension: 3", "sizes: 2 2 1", `endian: ${endian}`, "encoding: raw",
    "spacings: 4 4 40"];
  const head = new TextEncoder().encode(lines.join("\n") + "\n\n");
  const bytes = new Uint8Array(head.length + 8);
  bytes.set(head);
  const view = new DataView(bytes.buffer);
  [1, 2, 300, 4].forEach((voxel, i) => view.setUint16(head.length + 2 * i, voxel, endian === "little"));
  return [...new NRRDLoader().parse(bytes.buffer).data];
}

const [little, big] = [volume("little"), volume("big")];
assert.deepEqual(little, [1, 2, 300, 4]);
assert.deepEqual(big, [256, 512, 11265, 1024]);
console.log(`1 2 300 4: little-endian read as ${little.join(" ")}, big-endian as ${big.join(" ")}`);
JAVASCRIPT
node run.mjs
