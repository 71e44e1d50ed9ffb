"""Another way to boost is one more entry in the registry: configuration, command line and steps know it at once.

The entry here keeps each coarse pixel as it is. No product code names it; what it makes is judged by numpy.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from tinystudy import place, run_chain, whole, write_study
from torch import Tensor

from pipeline.config.model import load_config
from pipeline.errors import ConfigError
from pipeline.nn.zssr.grids import Scaling, Span, Window
from pipeline.nn.zssr.methods import METHODS, Method
from pipeline.nn.zssr.upscalers import Upscaler
from pipeline.steps.boosting.prepare import prepare

CHANGES = {"boosting": {"methods": ["repeated", "bilinear"], "comparison_block_zyx": [1, 16, 16]}}


@dataclass(frozen=True)
class Repeating:
    """Every fine pixel takes the value of the coarse pixel that it lies in."""

    factor: int

    def coarse_window(self, fine: Window, coarse_yx: tuple[int, int]) -> Window:
        rows, columns = (
            Span(span.start // self.factor, min(-(-span.stop // self.factor), length), length)
            for span, length in zip(fine, coarse_yx, strict=True)
        )
        return rows, columns

    def __call__(self, coarse_NYX: Tensor, coarse: Window, fine: Window) -> Tensor:
        rows, columns = (
            torch.arange(span.start, span.stop) // self.factor - given.start
            for span, given in zip(fine, coarse, strict=True)
        )
        return coarse_NYX[:, rows][:, :, columns].float()


class Repeated(Method):
    def upscaler(self, scaling: Scaling) -> Upscaler:
        return Repeating(int(scaling.factor))


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "repeated", Repeated("repeated", "Repeat pixels", "as they are"))


def test_without_its_entry_it_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"boosting\.methods\.0: 'repeated' .*bilinear, bicubic, zssr"):
        load_config(write_study(tmp_path, CHANGES))


@pytest.mark.usefixtures("registered")
def test_with_its_entry_it_goes_through_all_steps(tmp_path: Path) -> None:
    run = run_chain(write_study(tmp_path, CHANGES), tmp_path / "run", workers=2)
    assert run.plan.boosting is not None
    assert run.plan.boosting.methods == ("repeated", "bilinear")
    table = json.loads((place(run) / "evaluation/ablation.json").read_text())
    assert [row["name"] for row in table["inputs"]] == ["native", "repeated", "bilinear"]
    coarse, fine = (whole(run.variant(variant, "tiny")) for variant in ("downsampled", "repeated"))
    z, y, x = np.nonzero(fine)  # beyond the test part and its surroundings nothing is asked for
    assert len(z)
    assert np.array_equal(fine[z, y, x], coarse[z, y // 2, x // 2])


@pytest.mark.usefixtures("registered")
def test_with_its_entry_it_boosts_a_volume_and_asks_for_no_training(tmp_path: Path) -> None:
    write_study(tmp_path)
    prepare(
        str(tmp_path / "raw.tif"),
        str(tmp_path / "run"),
        method="repeated",
        voxel_size_nm=(40.0, 8.0, 8.0),
        outputs=tmp_path / "outputs",
    )
    told = {path.name: path.read_text() for path in (tmp_path / "outputs").iterdir()}
    assert json.loads(told["boost-methods"]) == [{"method": "repeated", "learns": False}]
    assert told["boost-learns"] == "false"
