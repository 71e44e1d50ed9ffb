#!/usr/bin/env bash
# skimage.metrics.normalized_mutual_information of an image with itself is 2, not 1.
#
# Guess: normalised means 0 for independent and 1 for equal images, as scikit-learn has it for labels.
# Seen: it is Studholme's (H(A) + H(B)) / H(A, B): 2 for equal, 1 for independent images.
# Versions: scikit-image 0.26.0, scikit-learn 1.9.1, numpy 2.4.6; Python 3.11.
# Prints: scikit-image: equal 2.000, unrelated 1.000; scikit-learn: equal 1.000
# Why it matters: a registration of EM sections that accepts pairs above 0.9 accepts unrelated sections.
# Source: docstring of normalized_mutual_information; Studholme, Hill and Hawkes 1999.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'scikit-image==0.26.0' 'scikit-learn==1.9.1' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from skimage.metrics import normalized_mutual_information
from sklearn.metrics import normalized_mutual_info_score

rng = np.random.default_rng(0)
section, other = rng.integers(0, 4, (2, 200, 200))
same = normalized_mutual_information(section, section)
unrelated = normalized_mutual_information(section, other)
assert np.isclose(same, 2) and 1 <= unrelated < 1.01
assert np.isclose(normalized_mutual_info_score(section.ravel(), section.ravel()), 1)
print(f"scikit-image: equal {same:.3f}, unrelated {unrelated:.3f}; scikit-learn: equal 1.000")
PYTHON
