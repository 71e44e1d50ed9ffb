#!/usr/bin/env bash
# With one seed PyTorch's randn(16) begins with other numbers than randn(15).
#
# Guess: a generator gives one sequence: the first numbers are the same however many are asked for, as in NumPy and as
#   torch.rand does.
# Seen: from 16 numbers on pairs are made in blocks of 16, so the first number differs; for lengths that are no multiple
#   of 16 the last 16 are drawn anew, so randn(17) differs from randn(16) from the second number on.
# Versions: torch 2.13.0, numpy 2.4.6; Python 3.11.
# Prints: first of 15, 16, 17: 1.54 -1.13 -1.13, second: -0.29 -1.15 -1.70 - rand: the same throughout - NumPy: the same
# Why it matters: noise, or starting weights, that are to be the same for a block and for a larger one with the same
#   seed are not; a test on a small crop has other noise than the volume.
# Source: behaviour of the released package (the vectorised path of the CPU generator).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'torch==2.13.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import torch

def drawn(draw, count):
    return draw(count, generator=torch.Generator().manual_seed(0)).tolist()[:2]

normal = [drawn(torch.randn, count) for count in (15, 16, 17)]
uniform = [drawn(torch.rand, count) for count in (15, 16, 17)]
numpy = [np.random.default_rng(0).standard_normal(count)[:2].tolist() for count in (15, 16, 17)]
first, second = ([round(pair[k], 2) for pair in normal] for k in (0, 1))
assert first[0] != first[1] == first[2] and len(set(second)) == 3, (first, second)
assert uniform[0] == uniform[1] == uniform[2] and numpy[0] == numpy[1] == numpy[2]
print("first of 15, 16, 17:", *(f"{x:.2f}" for x in first), end=", ")
print("second:", *(f"{x:.2f}" for x in second), "- rand: the same throughout - NumPy: the same")
PYTHON
