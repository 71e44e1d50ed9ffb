#!/usr/bin/env bash
# zarrita.get returns the voxels of a Fortran-ordered array in Fortran order.
#
# Guess: the order in a store is its own affair: the flat data of a result is in C order, as for every other array,
#   and the shape says how to read it.
# Seen: data is in the order of the store, and only stride ([1, 2] instead of [3, 1]) tells.
# Versions: zarrita 0.7.5; Node.js 20.
# Prints: rows 1 2 3 and 4 5 6: data of order C 1 2 3 4 5 6, of order F 1 4 2 5 3 6, both of shape 2,3
# Why it matters: Zarr v2 allows both orders: code that puts data into a texture by its shape shows volumes of order F
#   transposed and interleaved.
# Source: behaviour of the released package; Zarr v2 specification, "order".
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . 'zarrita@0.7.5' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import * as zarr from "zarrita";

async function read(order, bytes) {
  const meta = {zarr_format: 2, shape: [2, 3], chunks: [2, 3], dtype: "|u1", order, fill_value: 0, filters: null,
    compressor: null};
  const head = new TextEncoder().encode(JSON.stringify(meta));
  const store = new Map([["/.zarray", head], ["/0.0", new Uint8Array(bytes)]]);
  const result = await zarr.get(await zarr.open.v2(store, {kind: "array"}));
  assert.deepEqual(result.shape, [2, 3]);
  for (let row = 0; row < 2; row++) {  // both hold the same rows, each by its own stride
    for (let column = 0; column < 3; column++) {
      assert.equal(result.data[row * result.stride[0] + column * result.stride[1]], 3 * row + column + 1);
    }
  }
  return result;
}

const c = await read("C", [1, 2, 3, 4, 5, 6]);
const f = await read("F", [1, 4, 2, 5, 3, 6]);
assert.deepEqual(c.stride, [3, 1]);
assert.deepEqual(f.stride, [1, 2]);
console.log(`rows 1 2 3 and 4 5 6: data of order C ${c.data.join(" ")}, of order F ${f.data.join(" ")}, both of shape`,
  f.shape.join());
JAVASCRIPT
node run.mjs
