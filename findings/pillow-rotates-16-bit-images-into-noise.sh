#!/usr/bin/env bash
# Pillow rotates a 16-bit image that is 60000 everywhere into numbers around 100.
#
# Guess: rotate with bilinear or bicubic interpolation gives 60000 inside, as it does in the modes of 8 and 32 bits;
#   or it refuses the mode, as filter and reduce do.
# Seen: the bytes of the voxels are interpolated as if they were pixels of 8 bits; nearest is right, and so are the
#   modes I and F.
# Versions: pillow 13.0.0; Python 3.11.
# Prints: centre of 60000 turned by 10 degrees: nearest 60000, bilinear 109, bicubic 99 - bilinear in mode I 60000
# Why it matters: a 16-bit section straightened before segmentation comes out black and noisy; the same call on an
#   8-bit copy is right.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'pillow==13.0.0'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from array import array

from PIL import Image

def centre(mode, kind, how):
    image = Image.frombytes(mode, (16, 16), array(kind, [60000] * 256).tobytes())
    return image.rotate(10, getattr(Image.Resampling, how.upper())).getpixel((8, 8))

found = {how: centre("I;16", "H", how) for how in ("nearest", "bilinear", "bicubic")}
wide = centre("I", "i", "bilinear")
assert found["nearest"] == wide == 60000 and max(found["bilinear"], found["bicubic"]) < 256, found
print("centre of 60000 turned by 10 degrees:", ", ".join(f"{how} {grey}" for how, grey in found.items()),
      f"- bilinear in mode I {wide}")
PYTHON
