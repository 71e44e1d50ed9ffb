#!/usr/bin/env bash
# fflate's gunzipSync returns the first part of a gzip file of several members.
#
# Guess: a gzip file may consist of several members one after the other, and every reader returns all, as gzip and
#   Python do.
# Seen: the first member alone is returned, without an error; pako and fflate's own stream, Gunzip, return all.
# Versions: fflate 0.8.3, pako 3.0.3; Node.js 20.
# Prints: two members: gunzipSync "section 0" - Gunzip and pako "section 0 section 1"
# Why it matters: files written by bgzip, by appending, or by parallel compressors such as those of cluster storage
#   consist of many members: the volume ends after 64 KiB.
# Source: RFC 1952, section 2.2 (a file is a series of members).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . 'fflate@0.8.3' 'pako@3.0.3' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import {gzipSync} from "node:zlib";
import {gunzipSync, Gunzip, strFromU8} from "fflate";
import * as pako from "pako";

const file = Buffer.concat([gzipSync("section 0"), gzipSync(" section 1")]);
const all = "section 0 section 1";
const first = strFromU8(gunzipSync(file));
let streamed = "";
const stream = new Gunzip((part) => { streamed += strFromU8(part); });
stream.push(file, true);
const whole = pako.ungzip(file, {toText: true});
const text = typeof whole === "string" ? whole : strFromU8(whole);
assert.equal(first, "section 0");
assert.equal(streamed, all);
assert.equal(text, all);
console.log(`two members: gunzipSync "${first}" - Gunzip and pako "${text}"`);
JAVASCRIPT
node run.mjs
