#!/usr/bin/env bash
# toArray() of a column of Apache Arrow in JavaScript has 0 where a value is missing.
#
# Guess: missing values are null in a plain array, NaN in a float array, or toArray refuses them.
# Seen: the buffer is handed out as it is, with 0 for integers and floats alike; get(i) says null.
# Versions: apache-arrow 21.2.0; Node.js 20.
# Prints: 1, null, 3: get gives 1 null 3, toArray Int32Array 1 0 3, as Float32 1 0 3
# Why it matters: objects whose volume was not measured count as 0 in every mean and histogram of a page that reads
#   Arrow or Parquet.
# Source: behaviour of the released package; Arrow columnar format (values under a null are undefined).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . 'apache-arrow@21.2.0' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import {Float32, Int32, vectorFromArray} from "apache-arrow";

const whole = vectorFromArray([1, null, 3], new Int32());
const real = vectorFromArray([1, null, 3], new Float32());
const single = [0, 1, 2].map((i) => whole.get(i));
assert.deepEqual(single, [1, null, 3]);
assert.equal(whole.nullCount, 1);
assert.deepEqual([...whole.toArray()], [1, 0, 3]);
assert.deepEqual([...real.toArray()], [1, 0, 3]);
console.log(`1, null, 3: get gives ${single.map(String).join(" ")}, toArray ${whole.toArray().constructor.name}`,
  `${whole.toArray().join(" ")}, as Float32 ${real.toArray().join(" ")}`);
JAVASCRIPT
node run.mjs
