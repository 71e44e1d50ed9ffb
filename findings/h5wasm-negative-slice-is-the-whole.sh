#!/usr/bin/env bash
# A slice of h5wasm that starts at -1 is the whole axis.
#
# Guess: a negative start counts from the end, as in JavaScript's own slice, in NumPy and in h5py; or it raises.
# Seen: it is taken for 0: the "last section" is the whole volume in the flat array, ten sections instead of one.
# Versions: h5wasm 0.10.3; Node.js 20.
# Prints: slice from 9: 4 voxels, from -1: 40 voxels, the first is 0
# Why it matters: a viewer that asks for the last section of an HDF5 volume shows the first one, since its voxels come
#   first in the flat array.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . 'h5wasm@0.10.3' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import h5wasm from "h5wasm/node";

await h5wasm.ready;
const file = new h5wasm.File("volume.h5", "w");
file.create_dataset({name: "volume", data: Uint8Array.from({length: 40}, (_, i) => i), shape: [10, 4]});
const volume = file.get("volume");
const last = volume.slice([[9, null], []]);
const negative = volume.slice([[-1, null], []]);
assert.deepEqual([...last], [36, 37, 38, 39]);
assert.equal([36, 37, 38, 39].slice(-1)[0], 39);
assert.equal(negative.length, 40);
console.log(`slice from 9: ${last.length} voxels, from -1: ${negative.length} voxels, the first is ${negative[0]}`);
file.close();
JAVASCRIPT
node run.mjs
