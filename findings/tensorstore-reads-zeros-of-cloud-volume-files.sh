#!/usr/bin/env bash
# tensorstore reads a precomputed volume that cloud-volume wrote to a folder as zeros, without a word.
#
# Guess: both know Neuroglancer's precomputed format: what one writes the other reads, or says that it cannot.
# Seen: cloud-volume packs chunks by gzip unless told otherwise, and in a folder calls them NAME.gz; tensorstore looks
#   for NAME, finds none, and takes all chunks for such as were never written. Shape and type come from the info file,
#   which is not packed, and are right. With compress=False the same volume is read.
# Versions: cloud-volume 12.15.2, cloud-files 6.4.3, tensorstore 0.1.86, numpy 2.4.6; Python 3.11.
# Prints: 4 files such as 0-32_0-32_0-16.gz: greatest voxel 0 instead of 254; with compress=False all as written
# Why it matters: image and labels copied to a disk for training come out black, of the right shape.
# Source: behaviour of the released packages (CloudVolume.from_numpy, tensorstore's neuroglancer_precomputed driver).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  'cloud-volume==12.15.2' 'cloud-files==6.4.3' 'tensorstore==0.1.86' 'numpy==2.4.6'
cd "$work"
HOME="$work" "$work/venv/bin/python" - <<'PYTHON'
from pathlib import Path

import numpy as np
import tensorstore
from cloudvolume import CloudVolume

data = np.random.default_rng(0).integers(1, 255, (64, 64, 16), np.uint8)


def written_and_read(name: str, **how: object) -> np.ndarray:
    place = Path(name).absolute()
    CloudVolume.from_numpy(
        data, vol_path=f"file://{place}", resolution=(8, 8, 40), chunk_size=(32, 32, 16), layer_type="image", **how
    )
    store = {"driver": "file", "path": f"{place}/"}
    opened = tensorstore.open({"driver": "neuroglancer_precomputed", "kvstore": store}, read=True, open=True).result()
    return opened.read().result()[..., 0]


found = written_and_read("packed")
files = sorted(path.name for path in Path("packed/8_8_40").iterdir())
assert len(files) == 4 and files[0] == "0-32_0-32_0-16.gz", files
assert found.shape == data.shape and found.dtype == data.dtype and not found.any()
assert np.array_equal(written_and_read("plain", compress=False), data)
print(
    f"{len(files)} files such as {files[0]}: greatest voxel {found.max()} instead of {data.max()}; with compress=False "
    "all as written"
)
PYTHON
