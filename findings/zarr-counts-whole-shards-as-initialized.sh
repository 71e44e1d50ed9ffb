#!/usr/bin/env bash
# nchunks_initialized of a sharded Zarr array counts every chunk of a shard once one voxel was written.
#
# Guess: of 16 chunks in 2 shards one was written, so nchunks_initialized is 1 and says how much of a volume is done.
# Seen: it says 8: the number of shards that exist times the chunks in a shard, although the other seven are absent
#   from the shard's index.
# Versions: zarr 3.1.6, numpy 2.4.6; Python 3.11.
# Prints: 16 chunks, 1 in the shard's index, nchunks_initialized 8
# Why it matters: a progress report or a resumed job that trusts this number takes chunks for written that read as
#   fill value.
# Source: behaviour of the released package; the sharding codec's index marks absent chunks by 2**64 - 1.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'zarr==3.1.6' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import zarr

volume = zarr.create_array("volume.zarr", shape=(64,), chunks=(4,), shards=(32,), dtype="uint8", compressors=None)
volume[0] = 1
shard = open("volume.zarr/c/0", "rb").read()
index = np.frombuffer(shard[-(8 * 16 + 4) : -4], "<u8").reshape(8, 2)
present = int((index[:, 0] != 2**64 - 1).sum())
assert present == 1
assert (volume.nchunks, volume.nchunks_initialized) == (16, 8)
print(f"{volume.nchunks} chunks, {present} in the shard's index, nchunks_initialized {volume.nchunks_initialized}")
PYTHON
