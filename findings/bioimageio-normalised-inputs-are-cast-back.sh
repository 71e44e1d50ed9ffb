#!/usr/bin/env bash
# bioimageio.spec ends the preprocessing of a model with a cast back to the type of the image, after normalisation.
#
# Guess: preprocessing is what the description lists: an image of uint8 that is cast to float32 and normalised to zero
#   mean and unit variance reaches the network as float32.
# Seen: where the last listed step is no cast, the library appends `ensure_dtype` with the input's declared type to the
#   description: the normalised values are cast to uint8 again before the network sees them. A list that ends with
#   `ensure_dtype: float32` is left as it is.
# Versions: bioimageio.spec 0.5.14.3, numpy 2.4.6, imageio 2.37.3; Python 3.11.
# Prints: cast, normalise -> ensure_dtype float32, fixed_zero_mean_unit_variance, ensure_dtype uint8
#         normalise, cast -> ensure_dtype uint8, fixed_zero_mean_unit_variance, ensure_dtype float32
# Why it matters: a network that was trained on normalised grey values gets zeros, ones and wrapped negative numbers, or
#   its framework refuses whole numbers; microscopes' images are uint8 and uint16 as a rule.
# Source: behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  'bioimageio.spec==0.5.14.3' 'numpy==2.4.6' 'imageio==2.37.3'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from bioimageio.spec import ValidationContext
from bioimageio.spec.model.v0_5 import ModelDescr

np.save("input.npy", np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8))
np.save("output.npy", np.full((1, 1, 8, 8), 0.5, np.float32))
Path("README.md").write_text("# A model\n\n# Validation\n\nNone.\n")
Path("network.pt").write_bytes(b"stands for weights, which are not read here")
iio.imwrite("cover.png", np.full((64, 128, 3), 100, np.uint8))

plane = [{"type": "space", "id": axis, "size": 8} for axis in "yx"]
axes = [{"type": "batch"}, {"type": "channel", "channel_names": ["grey"]}, *plane]
cast = {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}
normalise = {"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": 100.0, "std": 40.0}}


def steps(*listed):
    described = {
        "name": "grey values in",
        "description": "a model of one channel",
        "authors": [{"name": "A. Person"}],
        "cite": [{"text": "A paper", "url": "https://example.org/paper"}],
        "license": "CC-BY-4.0",
        "documentation": {"source": "README.md"},
        "covers": [{"source": "cover.png"}],
        "timestamp": "2026-01-01T00:00:00Z",
        "inputs": [
            {
                "id": "grey",
                "axes": axes,
                "test_tensor": {"source": "input.npy"},
                "data": {"type": "uint8"},
                "preprocessing": list(listed),
            }
        ],
        "outputs": [
            {"id": "out", "axes": axes, "test_tensor": {"source": "output.npy"}, "data": {"type": "float32"}}
        ],
        "weights": {"torchscript": {"source": "network.pt", "pytorch_version": "2.10.0"}},
    }
    with ValidationContext(root=Path.cwd(), perform_io_checks=True):
        model = ModelDescr.model_validate(described)
    return ", ".join(
        step.id + (f" {step.kwargs.dtype}" if step.id == "ensure_dtype" else "") for step in model.inputs[0].preprocessing
    )


after, before = steps(cast, normalise), steps(normalise, cast)
print(f"cast, normalise -> {after}")
print(f"normalise, cast -> {before}")
assert after == "ensure_dtype float32, fixed_zero_mean_unit_variance, ensure_dtype uint8", after
assert before == "ensure_dtype uint8, fixed_zero_mean_unit_variance, ensure_dtype float32", before
PYTHON
