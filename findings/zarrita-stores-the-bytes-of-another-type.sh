#!/usr/bin/env bash
# zarrita.set writes the bytes of an array of another type, not its numbers.
#
# Guess: a Float32Array assigned to a uint8 array is converted as a typed array would do, or refused.
# Seen: its first bytes are stored: 1, 2, 3, 4 as floats become 0, 0, 128, 63. A single number is converted.
# Versions: zarrita 0.7.5; Node.js 20.
# Prints: floats 1 2 3 4 into uint8: 0 0 128 63 - from a Uint8Array: 1 2 3 4 - the number 3: 3 3 3 3
# Why it matters: predictions come out of a network in the browser as floats; stored into a uint8 mask they are noise
#   that has the right shape and type.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . 'zarrita@0.7.5' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import * as zarr from "zarrita";

const array = await zarr.create(new Map(), {shape: [4], chunkShape: [4], dtype: "uint8", fillValue: 0});

async function stored(value) {
  await zarr.set(array, null, value);
  return [...(await zarr.get(array)).data];
}

const floats = await stored({data: new Float32Array([1, 2, 3, 4]), shape: [4], stride: [1]});
const bytes = await stored({data: new Uint8Array([1, 2, 3, 4]), shape: [4], stride: [1]});
const number = await stored(3);
assert.deepEqual(floats, [...new Uint8Array(new Float32Array([1]).buffer)]);
assert.deepEqual(bytes, [1, 2, 3, 4]);
assert.deepEqual(number, [3, 3, 3, 3]);
console.log(`floats 1 2 3 4 into uint8: ${floats.join(" ")} - from a Uint8Array: ${bytes.join(" ")} -`,
  `the number 3: ${number.join(" ")}`);
JAVASCRIPT
node run.mjs
