#!/usr/bin/env bash
# Table.concat of Apache Arrow in JavaScript joins columns by their place, not by their name.
#
# Guess: columns of the same name are put below each other, as in Python's concat_tables, or differing schemas are
#   refused.
# Seen: a table of the columns volume, label below one of label, volume has the volumes among the labels; and a float
#   column below an integer one keeps the integer type with fractions in it.
# Versions: apache-arrow 21.2.0; Node.js 20.
# Prints: labels 1 and 2 with the columns in another order: label 1 20, volume 10 2
# Why it matters: tables of blocks written by two versions of a tool are joined in a viewer: half of the labels are
#   volumes, without an error.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . 'apache-arrow@21.2.0' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import {tableFromArrays} from "apache-arrow";

const first = tableFromArrays({label: new Int32Array([1]), volume: new Int32Array([10])});
const second = tableFromArrays({volume: new Int32Array([20]), label: new Int32Array([2])});
const both = first.concat(second);
const column = (name) => [0, 1].map((i) => both.getChild(name).get(i));
assert.equal(both.numRows, 2);
assert.deepEqual([column("label"), column("volume")], [[1, 20], [10, 2]]);
console.log(`labels 1 and 2 with the columns in another order: label ${column("label").join(" ")},`,
  `volume ${column("volume").join(" ")}`);
JAVASCRIPT
node run.mjs
