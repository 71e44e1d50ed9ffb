#!/usr/bin/env bash
# scikit-image returns adapted Rand precision and recall in each other's place.
#
# Guess: adapted_rand_error returns (error, precision, recall) as its docstring defines them, so one segment over two
#   neurites has low precision and recall 1.
# Seen: merging everything gives "precision" 1 and "recall" 0.4949; splitting gives the reverse. The error itself is
#   right.
# Versions: scikit-image 0.26.0, numpy 2.4.6; Python 3.11.
# Prints: merged neurites: precision and recall are returned as 1.0000 and 0.4949; by definition they are 0.4949 and
#   1.0000
# Why it matters: whoever reads split against merge errors of a neuron segmentation from these two numbers tunes the
#   agglomeration the wrong way.
# Source: scikit-image issue 6485 ("Are precision results recall reversed"), open since 2022.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'scikit-image==0.26.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from skimage.metrics import adapted_rand_error

two_neurites = np.repeat([1, 2], 50)
one_segment = np.ones(100, dtype=int)
error, first, second = adapted_rand_error(image_true=two_neurites, image_test=one_segment)

# Pairs of voxels, counted from the docstring's words.
same_in_both, same_in_test, same_in_truth = 2 * 50 * 49, 100 * 99, 2 * 50 * 49
precision, recall = same_in_both / same_in_test, same_in_both / same_in_truth
assert np.isclose(error, 1 - 2 * precision * recall / (precision + recall))
assert np.isclose(first, recall), first
assert np.isclose(second, precision), second
assert precision < 0.5 < recall
returned, defined = (f"{p:.4f} and {r:.4f}" for p, r in ((first, second), (precision, recall)))
print(f"merged neurites: precision and recall are returned as {returned}; by definition they are {defined}")
PYTHON
