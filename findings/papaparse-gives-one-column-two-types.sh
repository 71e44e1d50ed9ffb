#!/usr/bin/env bash
# PapaParse with dynamicTyping leaves labels above 2**53 strings and makes the others numbers.
#
# Guess: a column has one type: all labels numbers (the large ones rounded) or, since one does not fit, all strings.
# Seen: each cell is typed by itself: "1152921504606846977" stays text, 5 is a number, a time in ISO form becomes a
#   Date while a date stays text.
# Versions: papaparse 5.7.1; Node.js 20.
# Prints: label: string number - acquired: Date string
# Why it matters: ids compared by === with those from another source match for small labels and never for large ones;
#   sorting puts them in no useful order.
# Source: PapaParse documentation, dynamicTyping.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix . 'papaparse@5.7.1' >&2
cat > run.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import Papa from "papaparse";

const text = "label,acquired\n1152921504606846977,2026-01-01T10:00:00Z\n5,2026-01-01";
const {data} = Papa.parse(text, {header: true, dynamicTyping: true});
const kind = (value) => (value instanceof Date ? "Date" : typeof value);
const kinds = (name) => data.map((row) => kind(row[name]));
assert.equal(data[0].label, "1152921504606846977");
assert.equal(data[1].label, 5);
assert.deepEqual(kinds("acquired"), ["Date", "string"]);
console.log(`label: ${kinds("label").join(" ")} - acquired: ${kinds("acquired").join(" ")}`);
JAVASCRIPT
node run.mjs
