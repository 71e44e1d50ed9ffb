#!/usr/bin/env bash
# Block 0 of a sharded Zarr array is a whole shard, not a chunk.
#
# Guess: blocks counts chunks, as its documentation and Array.chunks say: block 1 of chunks of 2 is elements 2 and 3.
# Seen: with shards of 8 it is elements 8 to 15; block 2 of 8 chunks does not exist, and an assignment to blocks[1]
#   fills 8 elements. Without shards it is a chunk.
# Versions: zarr 3.1.6, numpy 2.4.6; Python 3.11.
# Prints: chunks of 2: blocks[1] is 2 3 - with shards of 8: 8 9 10 11 12 13 14 15
# Why it matters: code that goes through a volume by blocks, with chunks to size its memory and its counter, reads other
#   voxels, four times as many an axis, once the volume is sharded.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'zarr==3.1.6' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import zarr

found = {}
for shards in (None, (8,)):
    z = zarr.create_array(store=zarr.storage.MemoryStore(), shape=(16,), chunks=(2,), shards=shards, dtype="u1")
    z[:] = np.arange(16)
    assert z.chunks == (2,)
    found[shards] = z.blocks[1].tolist()
assert found[None] == [2, 3] and found[(8,)] == list(range(8, 16)), found
z.blocks[1] = 99
assert np.count_nonzero(z[:] == 99) == 8
try:
    z.blocks[2]
    raise AssertionError("block 2 exists")
except IndexError:
    pass
print("chunks of 2: blocks[1] is", *found[None], "- with shards of 8:", *found[(8,)])
PYTHON
