#!/usr/bin/env bash
# zarrita.set writes a block of 3 x 2 into a region of 2 x 3 and stores one voxel twice.
#
# Guess: shapes that differ are refused, or the numbers are laid out in their order, 1 2 3 4 5 6.
# Seen: rows are taken by the stride of the block beyond their ends: 1 2 3 3 4 5; the last voxel is lost.
# Versions: zarrita 0.7.5; Node.js 20.
# Prints: rows 1 2, 3 4, 5 6 into a region of 2 x 3: 1 2 3 3 4 5
# Why it matters: a block whose axes were swapped by mistake, or that has the wrong size at the border of the volume,
#   is stored skewed instead of being refused.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . 'zarrita@0.7.5' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import * as zarr from "zarrita";

const image = await zarr.create(new Map(), {shape: [2, 3], chunkShape: [2, 3], dtype: "uint8", fillValue: 0});
await zarr.set(image, null, {data: new Uint8Array([1, 2, 3, 4, 5, 6]), shape: [3, 2], stride: [2, 1]});
const stored = await zarr.get(image);
assert.deepEqual(stored.shape, [2, 3]);
assert.deepEqual([...stored.data], [1, 2, 3, 3, 4, 5]);
console.log(`rows 1 2, 3 4, 5 6 into a region of 2 x 3: ${stored.data.join(" ")}`);
JAVASCRIPT
node run.mjs
