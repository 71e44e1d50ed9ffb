#!/usr/bin/env bash
# h5wasm reads uint64 labels exactly as value and rounded as to_array().
#
# Guess: the two ways to read a dataset differ in shape alone, a flat typed array or nested lists; 64-bit integers are
#   BigInt in both.
# Seen: value is a BigUint64Array; to_array() turns each BigInt into a Number, so that 2**60 + 1 and 2**60 + 2 are
#   both 2**60, without a warning.
# Versions: h5wasm 0.10.3; Node.js 20.
# Prints: two labels as value: 1152921504606846977 1152921504606846978 - as to_array(): 1152921504606847000
#   1152921504606847000
# Why it matters: a browser page that shows an HDF5 segmentation takes the nested lists, which fit the shape, and
#   merges neighbouring supervoxels in every legend and selection.
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
const file = new h5wasm.File("labels.h5", "w");
file.create_dataset({name: "labels", data: new BigUint64Array([2n ** 60n + 1n, 2n ** 60n + 2n]), shape: [2]});
const labels = file.get("labels");
const exact = labels.value;
const nested = labels.to_array();
assert.ok(exact instanceof BigUint64Array && exact[0] !== exact[1]);
assert.ok(typeof nested[0] === "number" && nested[0] === nested[1]);
console.log("two labels as value:", exact.join(" "), "- as to_array():", nested.join(" "));
file.close();
JAVASCRIPT
node run.mjs
