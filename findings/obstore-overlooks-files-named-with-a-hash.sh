#!/usr/bin/env bash
# obstore's LocalStore does not list files that end in # and a number.
#
# Guess: a local store lists every file of its folder and takes any name that the file system takes.
# Seen: names such as cell#1 are kept for its own staging files: they are not listed, and reading or writing one
#   raises. cell#1.tif and a folder run#2 are fine.
# Versions: obstore 0.12.1; Python 3.11.
# Prints: of cell#1, cell2, cell#1.tif and run#2/cell are listed: cell#1.tif cell2 run#2/cell
# Why it matters: cells and runs are often numbered with a hash; a folder copied through this store, or listed to
#   count what is done, lacks them silently.
# Source: object_store crate, LocalFileSystem (staging files end in # and a number).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'obstore==0.12.1'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import pathlib

import obstore
from obstore.exceptions import GenericError
from obstore.store import LocalStore

folder = pathlib.Path("volume")
for name in ("cell#1", "cell2", "cell#1.tif", "run#2/cell"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"voxels")
store = LocalStore(folder)
listed = sorted(entry["path"] for batch in obstore.list(store) for entry in batch)
assert listed == ["cell#1.tif", "cell2", "run#2/cell"], listed
refused = 0
for call in (lambda: obstore.get(store, "cell#1"), lambda: obstore.put(store, "cell#3", b"voxels")):
    try:
        call()
    except GenericError as error:
        refused += "not supported" in str(error)
assert refused == 2
print("of cell#1, cell2, cell#1.tif and run#2/cell are listed:", *listed)
PYTHON
