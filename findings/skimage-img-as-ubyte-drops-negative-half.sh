#!/usr/bin/env bash
# skimage.util.img_as_ubyte maps the negative half of int16 to black instead of spreading the range.
#
# Guess: int16 runs from -32768 to 32767, so img_as_ubyte maps -32768 to 0, 0 to about 128 and 32767 to 255, as it
#   spreads the range of uint16.
# Seen: everything below zero becomes 0 and only the positive half is spread.
# Versions: scikit-image 0.26.0, numpy 2.4.6; Python 3.11.
# Prints: int16: [0, 0, 0, 0, 128, 255] same image as uint16: [0, 49, 127, 128, 192, 255]
# Why it matters: MRC mode 1 and many detectors store EM intensities as int16 centred on zero; half of the grey levels
#   turn into flat black, without an error.
# Source: scikit-image user guide on data types (signed images are clipped when they become unsigned).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'scikit-image==0.26.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
from skimage.util import img_as_ubyte

warnings.simplefilter("ignore")
signed = np.array([-32768, -20000, -1, 0, 16384, 32767], np.int16)
unsigned = (signed.astype(np.int32) + 32768).astype(np.uint16)
assert img_as_ubyte(signed).tolist() == [0, 0, 0, 0, 128, 255]
assert img_as_ubyte(unsigned).tolist() == [0, 49, 127, 128, 192, 255]
print("int16:", img_as_ubyte(signed).tolist(), "same image as uint16:", img_as_ubyte(unsigned).tolist())
PYTHON
