#!/usr/bin/env bash
# The data of a boolean array read by zarrita has no element 0.
#
# Guess: the data of a result is a typed array, or one that behaves so: data[0] is true, false, 1 or 0.
# Seen: it is a BoolArray, which has a length, get(i) and an iterator; data[i] is undefined for every i, and so counts
#   as false.
# Versions: zarrita 0.7.5; Node.js 20.
# Prints: mask true true false: data[0] is undefined, get(0) true, by iteration true true false
# Why it matters: a loop over the voxels of a mask, which works for every other type, finds the mask empty.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . 'zarrita@0.7.5' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import * as zarr from "zarrita";

const mask = await zarr.create(new Map(), {shape: [3], chunkShape: [3], dtype: "bool", fillValue: false});
await zarr.set(mask, [zarr.slice(0, 2)], true);
const {data} = await zarr.get(mask);
assert.equal(data.length, 3);
assert.equal(data[0], undefined);
assert.equal(data.get(0), true);
assert.deepEqual([...data], [true, true, false]);
console.log(`mask true true false: data[0] is ${data[0]}, get(0) ${data.get(0)}, by iteration ${[...data].join(" ")}`);
JAVASCRIPT
node run.mjs
