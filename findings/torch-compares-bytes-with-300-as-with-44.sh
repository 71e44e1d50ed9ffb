#!/usr/bin/env bash
# PyTorch finds that 200, as uint8, is not below 300, and that clamping bytes at -1 makes all of them 255.
#
# Guess: a comparison with a Python number is exact whatever the type of the tensor, as in NumPy; a number that the type
#   cannot hold is refused, as it is by fill and by assignment.
# Seen: the number is wrapped into the type first, 300 to 44 and -1 to 255: in comparisons, in clamp from below and in
#   arithmetic. As the floating point 300.0 it is compared right.
# Versions: torch 2.13.0, numpy 2.4.6; Python 3.11.
# Prints: 1 and 200 below 300: True False - below 300.0: True True - in NumPy: True True - 255 equals -1: True -
#   clamp(min=-1): 255 255
# Why it matters: labels < n_classes, with 300 classes and labels that fit in a byte, masks most of the volume; == -1
#   for "ignore" finds label 255.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'torch==2.13.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import torch

labels = torch.tensor([1, 200], dtype=torch.uint8)
whole, real = (labels < 300).tolist(), (labels < 300.0).tolist()
numpy = (labels.numpy() < 300).tolist()
ignored = (torch.tensor([255], dtype=torch.uint8) == -1).item()
clamped = labels.clamp(min=-1).tolist()
assert whole == [True, False] and real == numpy == [True, True], (whole, real, numpy)
assert ignored and clamped == [255, 255] and not np.any(np.array([255], np.uint8) == -1)
print("1 and 200 below 300:", *whole, "- below 300.0:", *real, "- in NumPy:", *numpy, "- 255 equals -1:", ignored,
      "- clamp(min=-1):", *clamped)
PYTHON
