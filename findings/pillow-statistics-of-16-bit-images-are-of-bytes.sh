#!/usr/bin/env bash
# Pillow gives 25.25 for the mean of a 16-bit image of 1, 100, 300 and 65535.
#
# Guess: ImageStat and histogram work on the grey levels, at least binned into 256, or refuse the mode as filters do.
# Seen: they count the first half of the bytes of each row as pixels, 1 0 100 0 here: the right half of the image is
#   not looked at. getextrema is right.
# Versions: pillow 13.0.0; Python 3.11.
# Prints: 1 100 300 65535: getextrema (1, 65535) - ImageStat mean 25.25, extrema (0, 100) - mean by hand 16484.0
# Why it matters: brightness checks and normalisation of 16-bit sections follow the low and high bytes of the left
#   half, and look like plausible 8-bit numbers.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'pillow==13.0.0'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from array import array

from PIL import Image, ImageStat

voxels = [1, 100, 300, 65535]
image = Image.frombytes("I;16", (4, 1), array("H", voxels).tobytes())
stat = ImageStat.Stat(image)
whole, mean, extrema = image.getextrema(), stat.mean[0], stat.extrema[0]
assert whole == (1, 65535) and mean == 25.25 and extrema == (0, 100), (whole, mean, extrema)
assert mean == sum(image.tobytes()[:4]) / 4
print(f"1 100 300 65535: getextrema {whole} - ImageStat mean {mean}, extrema {extrema} - mean by hand",
      sum(voxels) / 4)
PYTHON
