#!/usr/bin/env bash
# Listing with a prefix in obstore finds whole path segments only.
#
# Guess: list(prefix="lab") finds labels/0 and lab/0, as listing an S3 bucket with that prefix does; a full name finds
#   that object.
# Seen: a prefix is a folder: "lab" finds lab/0 alone, "labels/c" finds nothing of labels/c0, and the full name of an
#   object finds nothing either. All stores behave alike.
# Versions: obstore 0.12.1; Python 3.11.
# Prints: prefix to objects found: {'lab': ['lab/0'], 'labels/c': [], 'labels/c0': [], 'labels': ['labels/c0',
#   'labels/c1']}
# Why it matters: scripts that list run-2024* or chunks c/1* of a volume by prefix find none, and take it for absent.
# Source: obstore documentation of list; object_store crate ("prefixes are evaluated on a path segment basis").
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'obstore==0.12.1'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import obstore
from obstore.store import LocalStore, MemoryStore

for store in (MemoryStore(), LocalStore(".", mkdir=True)):
    for name in ("lab/0", "labels/c0", "labels/c1", "labx"):
        obstore.put(store, name, b"voxels")
    found = {
        prefix: sorted(entry["path"] for batch in obstore.list(store, prefix=prefix) for entry in batch)
        for prefix in ("lab", "labels/c", "labels/c0", "labels")
    }
    assert found == {"lab": ["lab/0"], "labels/c": [], "labels/c0": [], "labels": ["labels/c0", "labels/c1"]}, found
print("prefix to objects found:", found)
PYTHON
