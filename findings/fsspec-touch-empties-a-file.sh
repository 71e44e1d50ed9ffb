#!/usr/bin/env bash
# fsspec's touch makes an existing file empty.
#
# Guess: touch sets the time of a file that exists and makes an empty one otherwise, as the command and pathlib do.
# Seen: the content is gone, unless truncate=False is given, on the local file system as in memory; object stores cannot
#   set a time alone and so empty, or refuse truncate=False.
# Versions: fsspec 2026.9.0; Python 3.11.
# Prints: 5 bytes: pathlib touch 5, fsspec touch 0, with truncate=False 5
# Why it matters: a touch that marks a volume or a checkpoint as used lately, so that a cleaner leaves it, destroys it.
# Source: docstring of fsspec's AbstractFileSystem.touch (truncate=True).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'fsspec==2026.9.0'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from pathlib import Path

import fsspec

files = fsspec.filesystem("file")
path = Path("checkpoint").absolute()
path.write_text("12345")
path.touch()
pathlib = path.stat().st_size
files.touch(str(path), truncate=False)
kept = path.stat().st_size
files.touch(str(path))
emptied = path.stat().st_size
assert (pathlib, kept, emptied) == (5, 5, 0), (pathlib, kept, emptied)
print(f"5 bytes: pathlib touch {pathlib}, fsspec touch {emptied}, with truncate=False {kept}")
PYTHON
