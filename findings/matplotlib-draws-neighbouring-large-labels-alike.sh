#!/usr/bin/env bash
# imshow draws two labels alike when they are large and differ by little.
#
# Guess: vmin and vmax are taken from the data, so the two labels of an image are drawn black and white, whatever
#   their size; float64 would hold them exactly up to 2**53.
# Seen: large integers are drawn as float32 would hold them: 2**24 and 2**24 + 1 are both black. The difference of the
#   image and its minimum is drawn well.
# Versions: matplotlib 3.11.2, numpy 2.4.6; Python 3.11.
# Prints: two labels from 2**20: 2 greys; from 2**24: 1
# Why it matters: segment ids of 25 bits are common; a border between two supervoxels of one chunk, numbered one after
#   the other, vanishes in the picture used to check it.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'matplotlib==3.11.2' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

def greys(labels):
    figure = plt.figure(figsize=(1, 1))
    axes = figure.add_axes([0, 0, 1, 1])
    axes.axis("off")
    axes.imshow(labels, cmap="gray", interpolation="nearest")
    figure.canvas.draw()
    drawn = np.asarray(figure.canvas.buffer_rgba())[..., 0]
    plt.close(figure)
    return np.unique(drawn).tolist()

drawn = {}
for first in (2**20, 2**24):
    labels = np.full((4, 4), first, np.uint64)
    labels[2:] += 1
    drawn[first] = greys(labels)
    assert greys(labels - labels.min()) == [0, 255]
assert drawn[2**20] == [0, 255] and len(drawn[2**24]) == 1, drawn
print(f"two labels from 2**20: {len(drawn[2**20])} greys; from 2**24: {len(drawn[2**24])}")
PYTHON
