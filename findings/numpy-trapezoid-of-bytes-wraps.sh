#!/usr/bin/env bash
# The trapezoidal rule of NumPy and SciPy gives 72 for the area below two bytes of 200.
#
# Guess: an integral is a floating point number and is computed as one, as the mean and the gradient of bytes are: 200.
# Seen: neighbours are added in the type of the data, 200 + 200 is 144, before they are halved; without a warning for
#   an array. Floating point coordinates do not help. simpson of three bytes is right, of two it is a trapezoid again.
# Versions: numpy 2.4.6, scipy 1.17.1; Python 3.11.
# Prints: 200 200: numpy.trapezoid 72.0, scipy trapezoid 72.0, at x = 0.0 and 1.0 72.0, as floats 200.0
# Why it matters: areas below intensity profiles across a membrane or a synapse, read from uint8 or uint16 sections,
#   are too small wherever two neighbours add up to more than the type holds.
# Source: behaviour of the released packages.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'numpy==2.4.6' 'scipy==1.17.1'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from scipy import integrate

profile = np.array([200, 200], np.uint8)
areas = {
    "numpy.trapezoid": np.trapezoid(profile),
    "scipy trapezoid": integrate.trapezoid(profile),
    "at x = 0.0 and 1.0": integrate.trapezoid(profile, x=[0.0, 1.0]),
    "as floats": np.trapezoid(profile.astype(float)),
}
assert [float(area) for area in areas.values()] == [72, 72, 72, 200], areas
assert integrate.simpson(np.full(3, 200, np.uint8)) == 400 and np.gradient(profile).dtype == float
print("200 200:", ", ".join(f"{name} {area}" for name, area in areas.items()))
PYTHON
