#!/usr/bin/env bash
# geotiff.js scales an image down by half with "bilinear" by taking every second pixel.
#
# Guess: bilinear interpolation by a factor of two is the mean of neighbouring pixels, or at least lies between them.
# Seen: the sample points are the corners of the pixels, not their middles: the result is the same as with "nearest",
#   pixel 0, 2, 4, and what lies between is never read.
# Versions: geotiff 3.0.5; Node.js 20.
# Prints: 0 200 0 200 0 200 by half: bilinear 0 0 0, nearest 0 0 0
# Why it matters: an overview of a section shows every second line of a pattern: membranes of one pixel vanish or
#   double, and the picture is shifted by half a pixel.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . 'geotiff@3.0.5' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import {fromArrayBuffer, writeArrayBuffer} from "geotiff";

const row = [0, 200, 0, 200, 0, 200];
const file = await writeArrayBuffer([[row, row]], {width: 6, height: 2});
const image = await (await fromArrayBuffer(file)).getImage();
assert.deepEqual([...(await image.readRasters({interleave: true}))], [...row, ...row]);

async function half(resampleMethod) {
  return [...(await image.readRasters({width: 3, height: 1, interleave: true, resampleMethod}))];
}

const [nearest, bilinear] = [await half("nearest"), await half("bilinear")];
assert.deepEqual(nearest, [0, 0, 0]);
assert.deepEqual(bilinear, nearest);
console.log(`0 200 0 200 0 200 by half: bilinear ${bilinear.join(" ")}, nearest ${nearest.join(" ")}`);
JAVASCRIPT
node run.mjs
