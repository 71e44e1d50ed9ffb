#!/usr/bin/env bash
# Streamlit's cache gives the result of one volume for another that differs in some voxels.
#
# Guess: st.cache_data hashes its arguments whole: another array is another call, as with joblib.
# Seen: of arrays of more than some 500,000 numbers a fixed sample of 100,000 is hashed: where the difference is not in
#   the sample, the function is not called and the first result is returned. Small arrays are hashed whole.
# Versions: streamlit 1.67.0, numpy 2.4.6; Python 3.11.
# Prints: objects in an empty volume of 200**3: 0, after one was painted: 0 - of 20**3: 0 1
# Why it matters: a page that corrects labels by hand, or compares two steps of a training, shows counts, meshes and
#   scores of the version before.
# Source: streamlit/runtime/caching/hashing.py (_NP_SIZE_LARGE, _NP_SAMPLE_SIZE); the documentation does not tell.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'streamlit==1.67.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import logging

import numpy as np
import streamlit as st

logging.disable(logging.CRITICAL)

@st.cache_data(show_spinner=False)
def objects(labels):
    return len(np.unique(labels[labels > 0]))

def before_and_after(side):
    labels = np.zeros((side, side, side), np.uint8)
    first = objects(labels)
    corrected = labels.copy()
    corrected[side // 2, side // 2, side // 2] = 1
    assert not np.array_equal(labels, corrected)
    return first, objects(corrected)

large, small = before_and_after(200), before_and_after(20)
assert large == (0, 0) and small == (0, 1), (large, small)
print(f"objects in an empty volume of 200**3: {large[0]}, after one was painted: {large[1]} - of 20**3:", *small)
PYTHON
