#!/usr/bin/env bash
# In three.js the colour #808080 has the red 0.216, and the colour (0.5, 0.5, 0.5) is #bcbcbc.
#
# Guess: grey 128 of 255 is 0.502 in a Color, and the hexadecimal form of 0.5 is 80.
# Seen: strings and hexadecimal numbers are sRGB and are converted to linear numbers, three numbers are linear
#   already; a normalised vertex colour of 128 stays 0.502.
# Versions: three 0.187.0; Node.js 20.
# Prints: #808080 is 0.216; (0.5, 0.5, 0.5) is #bcbcbc; a vertex colour of 128 is 0.502
# Why it matters: the same label colour is brighter on a mesh coloured by vertices than on one coloured by its
#   material, and than in the legend of the page.
# Source: three.js manual, "Color management".
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . 'three@0.187.0' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import {BufferAttribute, Color} from "three";

const red = new Color("#808080").r;
const hex = new Color(0.5, 0.5, 0.5).getHexString();
const vertex = new BufferAttribute(new Uint8Array([128, 128, 128]), 3, true).getX(0);
assert.ok(Math.abs(red - 0.2159) < 1e-3 && hex === "bcbcbc" && Math.abs(vertex - 128 / 255) < 1e-6);
console.log(`#808080 is ${red.toFixed(3)}; (0.5, 0.5, 0.5) is #${hex}; a vertex colour of 128 is ${vertex.toFixed(3)}`);
JAVASCRIPT
node run.mjs
