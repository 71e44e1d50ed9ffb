#!/usr/bin/env bash
# three.js gives a sphere of diameter 2 the width 2.83 once it is turned by 45 degrees.
#
# Guess: the box of an object is that of its vertices in the scene; a sphere has the same box however it is turned.
# Seen: Box3.setFromObject turns the box of the unturned mesh and takes the box of that; with precise=true it goes
#   through the vertices.
# Versions: three 0.187.0; Node.js 20.
# Prints: sphere of diameter 2 turned by 45 degrees: width 2.828, precise 2.000
# Why it matters: a camera fitted to a tilted cell is too far away, and sizes or overlaps of objects read from boxes
#   are too large by up to 1.7.
# Source: three.js documentation of Box3.setFromObject (precise).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . 'three@0.187.0' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import {Box3, Mesh, SphereGeometry, Vector3} from "three";

const sphere = new Mesh(new SphereGeometry(1, 32, 16));
sphere.rotation.y = Math.PI / 4;
sphere.updateMatrixWorld();
const [fast, precise] = [false, true].map((exact) => new Box3().setFromObject(sphere, exact).getSize(new Vector3()).x);
assert.ok(Math.abs(fast - 2 * Math.SQRT2) < 1e-3 && Math.abs(precise - 2) < 1e-3);
console.log(`sphere of diameter 2 turned by 45 degrees: width ${fast.toFixed(3)}, precise ${precise.toFixed(3)}`);
JAVASCRIPT
node run.mjs
