#!/usr/bin/env bash
# Without keys, obstore asks a cloud machine's metadata service for some; a public S3 bucket is read with skip_signature.
#
# Guess: with no AWS_* variable set, an object of a public bucket is read unsigned, or the error names missing keys.
# Seen: the bucket is never asked; a PUT for a token goes to the metadata service (169.254.169.254 unless told
#   otherwise), and where nobody answers there, that address is what the error names. With skip_signature the same read
#   works, and carries no signature.
# Versions: obstore 0.12.1; Python 3.11.
# Prints: without keys: ['PUT /latest/api/token'], GenericError; unsigned: ['GET /public/chunk'], b'voxels'
# Why it matters: outside of that cloud a public bucket cannot be read by default, after retries for seconds, and the
#   error speaks of a machine that has nothing to do with the bucket.
# Source: object_store crate, AmazonS3Builder: the instance credential provider is the last resort.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'obstore==0.12.1'
cd "$work"
env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY -u AWS_WEB_IDENTITY_TOKEN_FILE -u AWS_SKIP_SIGNATURE \
    -u AWS_CONTAINER_CREDENTIALS_RELATIVE_URI -u AWS_CONTAINER_CREDENTIALS_FULL_URI "$work/venv/bin/python" - <<'PYTHON'
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import obstore
from obstore.store import S3Store

asked = []


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(f"{self.command} {self.path}")
        found = self.path == "/public/chunk" and "Authorization" not in self.headers
        content = b"voxels" if found else b""
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        self.wfile.write(content)

    do_PUT = do_GET

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
options = dict(
    endpoint=url,
    metadata_endpoint=url,
    region="us-east-1",
    virtual_hosted_style_request=False,
    client_options={"allow_http": True},
    retry_config={"max_retries": 0},
)
try:
    obstore.get(S3Store("public", **options), "chunk").bytes()
    raise SystemExit("a public bucket was read without being told to: the finding no longer holds")
except Exception as error:
    kind = type(error).__name__
    assert asked and all("/latest/" in each for each in asked), asked
print(f"without keys: {asked}, {kind}", end="; ")
asked.clear()
content = bytes(obstore.get(S3Store("public", skip_signature=True, **options), "chunk").bytes())
assert (asked, content) == (["GET /public/chunk"], b"voxels"), (asked, content)
print(f"unsigned: {asked}, {content}")
PYTHON
