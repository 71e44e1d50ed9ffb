#!/usr/bin/env bash
# nnU-Net's predictor returns whole numbers for logits in the corners of a volume, whatever the network said.
#
# Guess: where one window alone covers a voxel its Gaussian weight cancels, so the logits are the network's to three
#   digits, as float16 has them: 0.2 for class 0 and 0.4 for class 1 stay so, and every voxel is of class 1.
# Seen: weights in the corners of a window lie below 6e-8, the least number of float16, and are raised to it; a weight
#   times a logit is added up in float16, whose step is 6e-8 there: 0.2 and 0.4 both become 0, and the class is 0.
# Versions: nnunetv2 2.8.1, torch 2.13.0, numpy 2.4.6; Python 3.11.
# Prints: middle [0.2, 0.4], corner [0.0, 0.0]; voxels of class 0: 2986 of 884736
# Why it matters: the corners and edges of a predicted volume, which no other window covers, are background or noise: a
#   volume that is cut into boxes has such corners at each of them.
# Source: nnunetv2/inference/sliding_window_prediction.py, compute_gaussian; behaviour of the released package.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  'nnunetv2==2.8.1' 'torch==2.13.0' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager


class Constant(torch.nn.Module):
    """Says the same of every voxel."""

    def forward(self, image):
        return torch.tensor([0.2, 0.4]).view(1, 2, 1, 1, 1).expand(1, 2, *image.shape[2:]).clone()


configuration = {"patch_size": [64, 64, 64], "architecture": {}}
plans = PlansManager({"label_manager": "LabelManager", "configurations": {"3d_fullres": configuration}})
predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
labels = {"labels": {"background": 0, "tissue": 1}}
predictor.manual_initialization(Constant(), plans, plans.get_configuration("3d_fullres"), None, labels, "", None)
with torch.inference_mode():
    logits = predictor.predict_sliding_window_return_logits(torch.zeros(1, 96, 96, 96)).float()
corner, middle = logits[:, 0, 0, 0].tolist(), [round(value, 2) for value in logits[:, 48, 48, 48].tolist()]
background = int((logits.argmax(0) == 0).sum())
print(f"middle {middle}, corner {corner}; voxels of class 0: {background} of {96**3}")
assert middle == [0.2, 0.4] and corner == [0.0, 0.0] and background > 0
PYTHON
