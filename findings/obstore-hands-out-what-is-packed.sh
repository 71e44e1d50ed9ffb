#!/usr/bin/env bash
# obstore hands out an object that is stored with Content-Encoding: gzip as it is packed; zarr takes that for its chunk.
#
# Guess: a client of HTTP unpacks what the header says is packed for the transfer, as fsspec's and tensorstore's do, so
#   that zarr reads the same array through each of them.
# Seen: fsspec and tensorstore read it; through zarr's ObjectStore (obstore) the chunk has the wrong size, and the error
#   says nothing of gzip. The header is in the attributes of obstore's answer, which zarr does not look at.
# Versions: zarr 3.1.6, obstore 0.12.1, fsspec 2026.9.0, aiohttp 3.14.5, tensorstore 0.1.86; Python 3.11.
# Prints: fsspec: equal; tensorstore: equal; obstore: cannot reshape array of size 793; its attributes: gzip
# Why it matters: volumes of connectomics are uploaded so (cloud-volume, gsutil -Z), and moving from s3fs or fsspec to
#   obstore makes them unreadable.
# Source: behaviour of the released packages (zarr.storage.ObjectStore, obstore.get); RFC 9110, section 8.4.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  'zarr==3.1.6' 'obstore==0.12.1' 'fsspec==2026.9.0' 'aiohttp==3.14.5' 'tensorstore==0.1.86'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import gzip
import http.server
import threading
from pathlib import Path

import numpy as np
import obstore
import tensorstore
import zarr
from obstore.store import HTTPStore
from zarr.storage import ObjectStore

data = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
how = {"chunks": (32, 32), "dtype": data.dtype, "zarr_format": 2, "compressors": None}
zarr.create_array("a.zarr", shape=data.shape, **how)[:] = data


class Packed(http.server.BaseHTTPRequestHandler):
    """Chunks are stored packed, and said to be."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = Path("." + self.path)
        is_chunk = path.is_file() and not path.name.startswith(".")
        content = path.read_bytes() if path.is_file() else b""
        content = gzip.compress(content, mtime=0) if is_chunk else content
        self.send_response(200 if path.is_file() else 404)
        if is_chunk:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Packed)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/a.zarr"
assert np.array_equal(zarr.open_array(url, mode="r")[:], data)
opened = tensorstore.open({"driver": "zarr", "kvstore": f"{url}/"}).result()
assert np.array_equal(opened.read().result(), data)
store = HTTPStore(url, client_options={"allow_http": True})
try:
    zarr.open_array(ObjectStore(store, read_only=True), mode="r")[:]
    raise SystemExit("it was read")
except ValueError as error:
    said = str(error).split(" into")[0]
assert said.startswith("cannot reshape array of size"), said
answer = obstore.get(store, "0.0")
assert answer.attributes["Content-Encoding"] == "gzip"
assert gzip.decompress(bytes(answer.bytes())) == data[:32, :32].tobytes()
print(f"fsspec: equal; tensorstore: equal; obstore: {said}; its attributes: {answer.attributes['Content-Encoding']}")
PYTHON
