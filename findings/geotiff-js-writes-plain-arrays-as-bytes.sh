#!/usr/bin/env bash
# geotiff.js writes the labels of a plain array as 8 bits, so that 300 is 44.
#
# Guess: the type follows from the numbers, 16 bits for 300, or is that of JavaScript numbers, float64; or large
#   numbers are refused.
# Seen: nested arrays are written as uint8 and wrap around; a Uint16Array or Float32Array keeps its type.
# Versions: geotiff 3.0.5; Node.js 20.
# Prints: 300 1 2 3: from a nested array 44 1 2 3 of 8 bits, from a Uint16Array 300 1 2 3 of 16 bits
# Why it matters: labels drawn in a browser are collected in plain arrays; the exported mask has label 44 for every
#   300th object.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . 'geotiff@3.0.5' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import {fromArrayBuffer, writeArrayBuffer} from "geotiff";

async function roundTrip(values) {
  const image = await (await fromArrayBuffer(await writeArrayBuffer(values, {width: 2, height: 2}))).getImage();
  return [[...(await image.readRasters({interleave: true}))].join(" "), image.getBitsPerSample()];
}

const [plain, plainBits] = await roundTrip([[[300, 1], [2, 3]]]);
const [typed, typedBits] = await roundTrip(new Uint16Array([300, 1, 2, 3]));
assert.deepEqual([plain, plainBits, typed, typedBits], ["44 1 2 3", 8, "300 1 2 3", 16]);
console.log(`300 1 2 3: from a nested array ${plain} of ${plainBits} bits,`,
  `from a Uint16Array ${typed} of ${typedBits} bits`);
JAVASCRIPT
node run.mjs
