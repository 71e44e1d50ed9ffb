#!/usr/bin/env bash
# fastremap.asfortranarray reorders the array that it is given.
#
# Guess: like numpy.asfortranarray it returns a copy in the other order and leaves its argument alone.
# Seen: it transposes in place: the result is right and the argument, which shares its memory, has its voxels in
#   another order at the same shape.
# Versions: fastremap 1.21.0, numpy 2.4.6; Python 3.11.
# Prints: input 0 1 2 3 4 5: result 0 1 2 3 4 5 - input afterwards 0 3 1 4 2 5
# Why it matters: a volume handed to a mesher or a writer that wants Fortran order is another volume for everything
#   that uses it after.
# Source: fastremap README (in-place transposition).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'fastremap==1.21.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import fastremap
import numpy as np

image = np.arange(6).reshape(2, 3)
result = fastremap.asfortranarray(image)
assert result.flags.f_contiguous and np.array_equal(result, np.arange(6).reshape(2, 3))
assert image.shape == (2, 3) and np.shares_memory(image, result)
assert image.ravel().tolist() == [0, 3, 1, 4, 2, 5], image
print("input 0 1 2 3 4 5: result", *result.ravel().tolist(), "- input afterwards", *image.ravel().tolist())
PYTHON
