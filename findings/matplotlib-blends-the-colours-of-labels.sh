#!/usr/bin/env bash
# imshow of a label image with three colours draws thousands of colours.
#
# Guess: a ListedColormap of three colours on an image of three classes shows these three; default interpolation of
#   integers is by nearest neighbour.
# Seen: the default interpolation smooths whenever the image is drawn smaller than it is, or not much larger: over a
#   thousand colours when drawn at a third, some that mean another class. interpolation="nearest" draws three.
# Versions: matplotlib 3.11.2, numpy 2.4.6; Python 3.11.
# Prints: 3 classes drawn at a third: over 1000 colours by default, 3 with interpolation="nearest"
# Why it matters: figures of segmentations show thin structures in colours that are not in the legend, and a class
#   between two others along their border.
# Source: Matplotlib documentation, "Image resampling" (interpolation and interpolation_stage "auto").
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
from matplotlib.colors import ListedColormap

classes = np.kron(np.random.default_rng(0).integers(0, 3, (100, 100)), np.ones((10, 10), int))

def colours(**options):
    figure = plt.figure(figsize=(3.33, 3.33), dpi=100)
    axes = figure.add_axes([0, 0, 1, 1])
    axes.axis("off")
    axes.imshow(classes, cmap=ListedColormap(["red", "lime", "blue"]), **options)
    figure.canvas.draw()
    drawn = np.asarray(figure.canvas.buffer_rgba())[20:-20, 20:-20, :3]
    plt.close(figure)
    return len(np.unique(drawn.reshape(-1, 3), axis=0))

blended, nearest = colours(), colours(interpolation="nearest")
assert blended > 1000 and nearest == 3, (blended, nearest)
print("3 classes drawn at a third: over 1000 colours by default,", nearest, 'with interpolation="nearest"')
PYTHON
