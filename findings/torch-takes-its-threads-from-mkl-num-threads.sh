#!/usr/bin/env bash
# PyTorch computes with as many threads as MKL_NUM_THREADS says, though OMP_NUM_THREADS says another number.
#
# Guess: PyTorch's own pool is OpenMP's, so OMP_NUM_THREADS decides, and MKL_NUM_THREADS is for MKL's products alone.
# Seen: builds with MKL take MKL's number for their whole pool when they start. Of OPENBLAS_NUM_THREADS they take
#   nothing.
# Versions: torch 2.13.0 for x86; Python 3.11.
# Prints: OMP 2: 2 - OMP 2 and MKL 1: 1 - OMP 1 and MKL 2: 2 - OMP 2 and OpenBLAS 1: 2
#   (on two cores or more: MKL takes no more threads than there are cores)
# Why it matters: a scheduler that sets all of these variables to its share, and leaves OMP_NUM_THREADS as the user gave
#   it, gives the user's trainings another number of threads, and with it other weights: sums are rounded otherwise.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'torch==2.13.0' 'numpy==2.4.6'
cd "$work"

threads() {
  env -u OMP_NUM_THREADS -u MKL_NUM_THREADS "$@" \
    "$work/venv/bin/python" -c 'import torch; print(torch.get_num_threads())'
}

found="OMP 2: $(threads OMP_NUM_THREADS=2)"
found+=" - OMP 2 and MKL 1: $(threads OMP_NUM_THREADS=2 MKL_NUM_THREADS=1)"
found+=" - OMP 1 and MKL 2: $(threads OMP_NUM_THREADS=1 MKL_NUM_THREADS=2)"
found+=" - OMP 2 and OpenBLAS 1: $(threads OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=1)"
echo "$found"
[ "$found" = "OMP 2: 2 - OMP 2 and MKL 1: 1 - OMP 1 and MKL 2: 2 - OMP 2 and OpenBLAS 1: 2" ]
