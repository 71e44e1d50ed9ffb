"""The studies of these tests: as small as a study can be that still does everything."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from tinystudy import CONFIG, tissue, write_study, write_tiff

from pipeline.steps.phantom import write_phantom

Config = dict[str, Any]


def write_nine(folder: Path) -> Path:
    """The phantom of the eight default classes: nine trainings, two workers for each inference; returns the folder."""
    write_phantom(folder, (8, 96, 256), seed=1, example="demo")
    changes: Config = {
        "augmentation": {"pool_samples": 4},
        "network": {"features": [4, 8], "z_context_slices": 1},
        "training": {"patch_zyx": [4, 32, 32], "steps": 6, "binary_steps": 3, "validations": 1},
        "inference": {"block_zyx": [8, 48, 64], "shard_zyx": [8, 48, 64], "workers": 2},
        "boosting": {
            "methods": ["zssr"],
            "zssr": {"most_steps": 4, "features": 4, "layers": 2, "patch": 16, "shrinkings": [1.25]},
        },
        "evaluation": {"figure_slices": [1], "renders": False},
    }
    path = folder / "study.yaml"
    config = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**config, **{key: {**config.get(key, {}), **new} for key, new in changes.items()}}))
    return _of_whole_seconds(folder)


def write_tiny(folder: Path) -> Path:
    """Three classes by brightness: four trainings, merged with doubt, objects of one class; returns the folder."""
    *others, bright = CONFIG["classes"]["members"]
    changes: Config = {
        "classes": {"members": [*others, {**bright, "instances": True, "rim_nm": 8}]},
        "training": {"targets": "all"},
        "inference": {"merged": True, "doubt": True},
        "evaluation": {"renders": True},
    }
    write_study(folder, changes)
    return _of_whole_seconds(folder)


def write_slow(folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """One network whose training and inference take long enough to be disturbed; returns the folder."""
    folder.mkdir(parents=True)
    raw, labels = tissue((6, 128, 320))
    write_tiff(folder / "raw.tif", raw)
    write_tiff(folder / "labels.tif", labels)
    slow: Config = {
        "name": "slow",
        "network": {"features": [16, 32]},
        "training": {"targets": "multilabel", "steps": 300, "validations": 4, "checkpoint_minutes": 60.0},
        "inference": {
            "region": "all",
            "block_zyx": [2, 64, 64],
            "shard_zyx": [2, 64, 64],
            "mirror_axes": ["z", "y", "x"],
        },
    }
    write_study(folder, {**slow, **(changes or {})})
    return _of_whole_seconds(folder)


def _of_whole_seconds(folder: Path) -> Path:
    """An input is known by its files' times, of which a tar archive keeps the seconds: the claim's copy is the same."""
    for path in folder.iterdir():
        os.utime(path, (path.stat().st_mtime // 1,) * 2)
    return folder


STUDIES = {"nine": write_nine, "tiny": write_tiny}
"""Of nine and of four trainings."""
