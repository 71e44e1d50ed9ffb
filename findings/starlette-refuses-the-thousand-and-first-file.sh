#!/usr/bin/env bash
# A Starlette form takes 1,000 files and text fields of 1 MiB, whatever their total size.
#
# Guess: uploads are limited by size, if at all: files are streamed to disk and a form of many small files passes
#   where one of many gigabytes does.
# Seen: a file of any size passes, the 1,001st file of a form gives 400 ("Too many files"), and so does a text field
#   above 1 MiB; request.form() has parameters for both.
# Versions: starlette 1.10.0, httpx 0.28.1, python-multipart 0.0.34; Python 3.11.
# Prints: one file of 5 MB: 200; 1000 files: 200; 1001 files: 400, Too many files. Maximum number of files is 1000. -
#   a field of 1.1 MB: 400, Part exceeded maximum size of 1024KB.
# Why it matters: a volume is often a folder of 2,000 section TIFFs: the upload fails after everything was sent, and
#   works with the short test stack.
# Source: Starlette documentation of request.form (max_files, max_fields, max_part_size).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'starlette==1.10.0' 'httpx==0.28.1' 'python-multipart==0.0.34'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import warnings

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

warnings.simplefilter("ignore")
from starlette.testclient import TestClient

async def upload(request):
    async with request.form() as form:
        return PlainTextResponse(str(len(form.multi_items())))

client = TestClient(Starlette(routes=[Route("/", upload, methods=["POST"])]))

def sections(count, size=1):
    return client.post("/", files=[("section", (f"{z}.tif", b"0" * size)) for z in range(count)])

assert sections(1, size=5_000_000).status_code == 200
assert sections(1000).text == "1000"
refused = sections(1001)
note = client.post("/", data={"note": "0" * 1_100_000}, files={"section": b"0"})
assert (refused.status_code, note.status_code) == (400, 400)
print("one file of 5 MB: 200; 1000 files: 200; 1001 files: 400,", refused.text, "- a field of 1.1 MB: 400,", note.text)
PYTHON
