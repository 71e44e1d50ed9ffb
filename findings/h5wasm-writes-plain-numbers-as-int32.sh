#!/usr/bin/env bash
# h5wasm stores the label 2147483648 of a plain array as -2147483648.
#
# Guess: numbers in JavaScript are doubles: a plain array is stored as float64, or as an integer type that holds them.
# Seen: an array whose numbers are all whole is stored as int32, and wraps; one fraction among them makes it float64.
#   dtype or a typed array states the type.
# Versions: h5wasm 0.10.3; Node.js 20.
# Prints: 2147483648 1: Int32Array -2147483648 1 - with 0.5 beside them: Float64Array 2147483648 1 0.5
# Why it matters: voxel counts and ids above 2**31 exported from a page turn negative; the table of a small test
#   volume is right.
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
const file = new h5wasm.File("table.h5", "w");

function stored(name, data) {
  file.create_dataset({name, data});
  return file.get(name).value;
}

const whole = stored("whole", [2 ** 31, 1]);
const mixed = stored("mixed", [2 ** 31, 1, 0.5]);
assert.ok(whole instanceof Int32Array && whole[0] === -(2 ** 31));
assert.ok(mixed instanceof Float64Array && mixed[0] === 2 ** 31);
console.log(`2147483648 1: ${whole.constructor.name} ${whole.join(" ")} - with 0.5 beside them:`,
  mixed.constructor.name, mixed.join(" "));
file.close();
JAVASCRIPT
node run.mjs
