#!/usr/bin/env bash
# safetensors.numpy stores an array in Fortran order, such as a transposed one, as other numbers.
#
# Guess: an array is stored as NumPy shows it, whatever its order in memory, as numpy.save does; or it is refused, as
#   safetensors.torch refuses a tensor that is not contiguous.
# Seen: the bytes are stored as they lie in memory, with the shape beside them: the numbers come back in other places.
#   numpy.ascontiguousarray before saving is right.
# Versions: safetensors 0.8.0, numpy 2.4.6; Python 3.11.
# Prints: 0 1 2 / 3 4 5 in Fortran order is read as 0 3 1 / 4 2 5, through numpy.save as 0 1 2 / 3 4 5
# Why it matters: weights transposed for another framework, and volumes that come from NIfTI, NRRD or HDF5 by way of a
#   transpose, are in Fortran order: the file is valid, its shape right and its content scrambled.
# Source: docstring of safetensors.numpy.save_file ("Tensors need to be contiguous and dense"; nothing checks it).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'safetensors==0.8.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from safetensors.numpy import load_file, save_file

def rows(array):
    return " / ".join(" ".join(map(str, row)) for row in array.tolist())

wanted = np.arange(6).reshape(2, 3)
fortran = np.asfortranarray(wanted)
assert np.array_equal(wanted, fortran)
save_file({"a": fortran, "transposed": wanted.T, "c": wanted}, "a.safetensors")
np.save("a.npy", fortran)
back = load_file("a.safetensors")
assert back["a"].shape == (2, 3) and rows(back["a"]) == "0 3 1 / 4 2 5" and np.array_equal(back["c"], wanted)
assert back["transposed"].tolist() == [[0, 1], [2, 3], [4, 5]] != wanted.T.tolist()
assert np.array_equal(np.load("a.npy"), wanted)
print(f"{rows(fortran)} in Fortran order is read as {rows(back['a'])}, through numpy.save as {rows(np.load('a.npy'))}")
PYTHON
