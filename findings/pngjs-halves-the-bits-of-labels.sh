#!/usr/bin/env bash
# pngjs reads a 16-bit PNG as 8 bits, so that label 300 is 1 and 100 is 0.
#
# Guess: the data of a PNG of depth 16 are 16-bit numbers, as its depth property says; conversion is something one
#   asks for.
# Seen: the voxels are rescaled from 0..65535 to 0..255 although depth says 16; skipRescale: true gives the stored
#   numbers.
# Versions: pngjs 7.0.0; Node.js 20.
# Prints: depth 16: stored 1 100 300 65535, read 0 0 1 255, with skipRescale 1 100 300 65535
# Why it matters: 16-bit PNG is the usual format of ground truth in stacks: labels below 128 vanish in a browser tool
#   or a Node script and the others merge by 257.
# Source: pngjs README (skipRescale: for images of 16 bits).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . 'pngjs@7.0.0' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import {PNG} from "pngjs";

const labels = new Uint16Array([1, 100, 300, 65535]);
const options = {colorType: 0, inputColorType: 0, bitDepth: 16, inputHasAlpha: false};
const png = new PNG({width: 4, height: 1, ...options});
png.data = Buffer.from(labels.buffer);
const file = PNG.sync.write(png, options);
const grey = (image) => Array.from({length: 4}, (_, i) => image.data[4 * i]);
const plain = PNG.sync.read(file);
const stored = PNG.sync.read(file, {skipRescale: true});
assert.equal(plain.depth, 16);
assert.deepEqual(grey(plain), [0, 0, 1, 255]);
assert.deepEqual(grey(stored), [...labels]);
console.log(`depth ${plain.depth}: stored ${labels.join(" ")}, read ${grey(plain).join(" ")},`,
  `with skipRescale ${grey(stored).join(" ")}`);
JAVASCRIPT
node run.mjs
