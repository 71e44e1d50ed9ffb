#!/usr/bin/env bash
# toArray() of a half-precision column of Apache Arrow in JavaScript gives 15872 for 1.5.
#
# Guess: the values of a Float16 column are numbers, 1.5 and 2, in an array of floats.
# Seen: it is a Uint16Array of the bits of the numbers; get(i) and iteration decode them.
# Versions: apache-arrow 21.2.0; Node.js 20.
# Prints: 1.5 2: toArray Uint16Array 15872 16384 - by iteration 1.5 2
# Why it matters: predictions are kept in float16 to save memory: a threshold of 0.5 on the flat array is true
#   everywhere but at exact zeros.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . 'apache-arrow@21.2.0' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import {Float16, vectorFromArray} from "apache-arrow";

const column = vectorFromArray([1.5, 2], new Float16());
const flat = column.toArray();
assert.deepEqual([...column], [1.5, 2]);
assert.ok(flat instanceof Uint16Array);
assert.deepEqual([...flat], [15872, 16384]);
console.log(`1.5 2: toArray ${flat.constructor.name} ${flat.join(" ")} - by iteration ${[...column].join(" ")}`);
JAVASCRIPT
node run.mjs
