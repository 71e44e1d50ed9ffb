#!/usr/bin/env bash
# gl-matrix moves a point at 123456789 nm to 123456792.
#
# Guess: numbers in JavaScript are doubles, so vectors and matrices of a JavaScript library are exact to 2**53.
# Seen: vectors and matrices are Float32Array unless setMatrixArrayType(Array) is called before: positions above 2**24
#   are rounded to 2, 4, 8 nm.
# Versions: gl-matrix 3.4.4; Node.js 20.
# Prints: 123456789 as a vector 123456792, translated by 1 123456792 - with setMatrixArrayType(Array) 123456790
# Why it matters: a data set of 1 mm is 1000000 nm wide and fits, a whole brain or the offset of a stage does not:
#   clicks select the neighbour of the voxel.
# Source: gl-matrix documentation, setMatrixArrayType.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . 'gl-matrix@3.4.4' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import {glMatrix, vec3} from "gl-matrix";

const place = 123456789;
const move = () => vec3.add(vec3.create(), [place, 0, 0], [1, 0, 0])[0];
const kept = vec3.fromValues(place, 0, 0)[0];
const single = move();
glMatrix.setMatrixArrayType(Array);
const double = move();
assert.deepEqual([kept, single, double], [123456792, 123456792, 123456790]);
console.log(`${place} as a vector ${kept}, translated by 1 ${single} - with setMatrixArrayType(Array) ${double}`);
JAVASCRIPT
node run.mjs
