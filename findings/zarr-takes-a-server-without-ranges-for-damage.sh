#!/usr/bin/env bash
# zarr-python takes a web server that ignores ranges, such as `python -m http.server`, for a damaged array.
#
# Guess: a chunk of a sharded array behind such a server is read from the whole shard, or refused with a word about
#   ranges, as tensorstore does.
# Seen: the server answers a request for the last bytes (the shard's index) with status 200 and the whole file; zarr
#   takes that for the index and says that stored and computed checksum do not match. Whole shards, and arrays without
#   any, are read.
# Versions: zarr 3.1.6, fsspec 2026.9.0, aiohttp 3.14.5, tensorstore 0.1.86; Python 3.11.
# Prints: plain array: read; a chunk of a shard: Stored and computed checksum do not match;
#   tensorstore: byte range was not honored
# Why it matters: OME-Zarr 0.5 is sharded as a rule, and `python -m http.server` is how people show it to each other.
# Source: behaviour of the released packages (zarr.open_array, fsspec's HTTPFileSystem).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  'zarr==3.1.6' 'fsspec==2026.9.0' 'aiohttp==3.14.5' 'tensorstore==0.1.86'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import functools
import http.server
import threading

import numpy as np
import tensorstore
import zarr

data = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
for name, shards in (("plain.zarr", None), ("sharded.zarr", (64, 64))):
    zarr.create_array(name, shape=data.shape, chunks=(16, 16), shards=shards, dtype=data.dtype)[:] = data


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory="."))
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
assert np.array_equal(zarr.open_array(f"{url}/plain.zarr", mode="r")[:], data)
assert np.array_equal(zarr.open_array(f"{url}/sharded.zarr", mode="r")[:], data)
try:
    zarr.open_array(f"{url}/sharded.zarr", mode="r")[:16, :16]
    raise SystemExit("it was read")
except ValueError as error:
    said = str(error).split(".")[0]
assert said == "Stored and computed checksum do not match", said
opened = tensorstore.open({"driver": "zarr3", "kvstore": f"{url}/sharded.zarr/"}).result()
try:
    opened[:16, :16].read().result()
    raise SystemExit("it was read")
except ValueError as error:
    assert "Requested byte range" in str(error), error
print(f"plain array: read; a chunk of a shard: {said}; tensorstore: byte range was not honored")
PYTHON
