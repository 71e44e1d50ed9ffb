#!/usr/bin/env bash
# Indexing a PyTorch table with uint8 labels selects, where NumPy and all other integer types look up.
#
# Guess: table[labels] gives one entry of the table a label, whatever the integer type of the labels.
# Seen: uint8 is taken for a mask: of a table of three the entries are kept whose label is not 0. A warning calls it
#   deprecated; the result has as many entries as the table has, or less. int8 to int64 look up.
# Versions: torch 2.13.0, numpy 2.4.6; Python 3.11.
# Prints: 10 20 30 at 2 0 1: as int64 30 10 20, as uint8 10 30, in NumPy 30 10 20
# Why it matters: labels of few classes are stored as uint8: weights, colours or merged classes looked up so belong to
#   other voxels wherever a batch happens to be as long as the table.
# Source: PyTorch's warning ("indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool").
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'torch==2.13.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import torch

warnings.simplefilter("ignore")
table, labels = torch.tensor([10, 20, 30]), torch.tensor([2, 0, 1])
whole, byte = table[labels].tolist(), table[labels.to(torch.uint8)].tolist()
numpy = table.numpy()[labels.numpy().astype(np.uint8)].tolist()
assert whole == numpy == [30, 10, 20] and byte == [10, 30], (whole, byte, numpy)
print("10 20 30 at 2 0 1: as int64", *whole, end="")
print(", as uint8", *byte, end="")
print(", in NumPy", *numpy)
PYTHON
