"""nnU-Net v2 as a peer: its predictor with a network of ours, and its trainer on a generated stack.

It lies in a folder of its own within the environment, which `make bench-setup` fills: processes that import this see
it, no others do.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from copy import deepcopy
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from torch import nn

from pipeline.errors import InputError
from pipeline.phantom import make_phantom
from pipeline.volume.geometry import Zyx, ZyxNm

PLACE = Path(sys.prefix) / "nnunet"
NAME = "Dataset001_phantom"
WORKERS = "nnUNet_n_proc_DA"
CASES = 5
"""As many as its folds."""
if not PLACE.is_dir():
    raise InputError(f"{PLACE}: nnU-Net is not there; make bench-setup installs it")
sys.path.append(str(PLACE))


def predict(network: nn.Module, outputs: int, window_zyx: Zyx) -> Callable[[torch.Tensor], torch.Tensor]:
    """Its prediction of an image (1, z, y, x), float32, as logits (outputs, z, y, x), without mirror images."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.inference.sliding_window_prediction import compute_gaussian
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    cpu = torch.device("cpu")
    # Of a configuration it asks for the patch alone; one without an architecture it takes for an old one.
    asked = {"patch_size": list(window_zyx), "architecture": {}}
    plans = PlansManager({"label_manager": "LabelManager", "configurations": {"3d_fullres": asked}})
    labels = {"background": 0} | {f"class {number}": number for number in range(1, outputs)}
    with redirect_stdout(StringIO()):
        predictor = nnUNetPredictor(use_mirroring=False, device=cpu, allow_tqdm=False)
    configuration = plans.get_configuration("3d_fullres")
    predictor.manual_initialization(network, plans, configuration, None, {"labels": labels}, "nnUNetTrainer", None)
    # It keeps it for all volumes.
    compute_gaussian(tuple(window_zyx), sigma_scale=1.0 / 8, value_scaling_factor=10, device=cpu)

    def logits(image: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            found: torch.Tensor = predictor.predict_sliding_window_return_logits(image)
        return found

    return logits


class Study:
    """A stack of slices of the phantom, planned and preprocessed by nnU-Net for two dimensions.

    Args:
        folder: for all that it writes.
        shape_zyx: voxels of each of the few stacks.
        voxel_size_nm: of all.
        classes: of the phantom; the first is its background.
    """

    def __init__(self, folder: Path, shape_zyx: Zyx, voxel_size_nm: ZyxNm, classes: int) -> None:
        for name in ("raw", "preprocessed", "results"):
            (folder / name).mkdir()
            os.environ[f"nnUNet_{name}"] = str(folder / name)
        self._raw = folder / "raw" / NAME
        self._write(shape_zyx, voxel_size_nm, classes)
        os.environ[WORKERS] = "1"  # its plan asks for the threads of one
        from nnunetv2.experiment_planning.plan_and_preprocess_api import (
            extract_fingerprints,
            plan_experiments,
            preprocess,
        )

        extract_fingerprints([1], num_processes=1)
        plan_experiments([1])
        preprocess([1], configurations=("2d",), num_processes=(1,))
        self._plans = json.loads((folder / "preprocessed" / NAME / "nnUNetPlans.json").read_text())
        os.environ[WORKERS] = "0"  # batches are made in this process, where their time is counted

    def _write(self, shape_zyx: Zyx, voxel_size_nm: ZyxNm, classes: int) -> None:
        for name in ("imagesTr", "labelsTr"):
            (self._raw / name).mkdir(parents=True)
        for case in range(CASES):
            phantom = make_phantom(shape_zyx, seed=case)
            ids = np.minimum(phantom.labels, classes) - 1
            tifffile.imwrite(self._raw / "imagesTr" / f"case_{case}_0000.tif", phantom.raw)
            tifffile.imwrite(self._raw / "labelsTr" / f"case_{case}.tif", ids.astype(np.uint8))
            for name in ("imagesTr", "labelsTr"):
                (self._raw / name / f"case_{case}.json").write_text(json.dumps({"spacing": voxel_size_nm}))
        self._dataset = {
            "channel_names": {"0": "sem"},
            "labels": {"background": 0} | {f"class {number}": number for number in range(1, classes)},
            "numTraining": CASES,
            "file_ending": ".tif",
            "overwrite_image_reader_writer": "Tiff3DIO",
        }
        (self._raw / "dataset.json").write_text(json.dumps(self._dataset))

    @property
    def own_batch(self) -> tuple[int, list[int]]:
        """Samples and patch (y, x) of the batches that its own plan asks for."""
        configuration = self._plans["configurations"]["2d"]
        return configuration["batch_size"], configuration["patch_size"]

    def step(
        self,
        batch: tuple[int, list[int]] | None = None,
        features: Sequence[int] = (),
        network: Callable[[], nn.Module] | None = None,
    ) -> Callable[[], None]:
        """A training step of its trainer, batch and all.

        Args:
            batch: samples, and patch (y, x); None: as its own plan has them.
            features: of the levels of its U-Net; none: as its own plan has them.
            network: makes another one in its place, whose logits are of the finest level alone.
        """
        from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

        plans: dict[str, Any] = deepcopy(self._plans) | {"continue_training": False}
        configuration = plans["configurations"]["2d"]
        if batch:
            configuration["batch_size"], configuration["patch_size"] = batch
        if features:
            levels = len(features)
            configuration["architecture"]["arch_kwargs"] |= {
                "n_stages": levels,
                "features_per_stage": list(features),
                "kernel_sizes": [[3, 3]] * levels,
                "strides": [[1, 1]] + [[2, 2]] * (levels - 1),
                "n_conv_per_stage": [2] * levels,
                "n_conv_per_stage_decoder": [2] * (levels - 1),
            }

        class OtherNetwork(nnUNetTrainer):  # type: ignore[misc]
            # Its parent looks its own arguments up by these names.
            def __init__(
                self, plans: Any, configuration: str, fold: int, dataset_json: Any, device: torch.device
            ) -> None:
                super().__init__(plans, configuration, fold, dataset_json, device)
                self.enable_deep_supervision = False

            @staticmethod
            def build_network_architecture(
                plans_manager: Any, configuration_manager: Any, inputs: int, outputs: int, deep: bool = False
            ) -> nn.Module:
                assert network is not None
                return network()

            def set_deep_supervision_enabled(self, enabled: bool) -> None:
                assert not enabled

        trainer = (OtherNetwork if network else nnUNetTrainer)(
            plans, "2d", 0, self._dataset, device=torch.device("cpu")
        )
        trainer.on_train_start()
        trainer.network.train()

        def step() -> None:
            trainer.train_step(next(trainer.dataloader_train))

        return step
