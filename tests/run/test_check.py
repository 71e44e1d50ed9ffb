"""A configuration is checked against its files: what is wrong stands at its line, with its key."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tinystudy import NAMES, SHAPE_ZYX, run_chain, tissue, write_study, write_tiff

from pipeline.errors import ConfigError
from pipeline.run.check import check
from pipeline.steps.plan import plan


def test_it_says_what_the_study_will_find(tmp_path: Path) -> None:
    config = write_study(tmp_path)
    checked = check(str(config))
    planned = plan(str(config), str(tmp_path / "run"))
    for part in ("train", "validation", "test"):
        voxels = planned.class_voxels(part)  # type: ignore[arg-type]
        (line,) = [line for line in checked.lines if line.startswith(f"{part}:")]
        assert f"{sum(voxels):,} labelled" in line
        assert all(
            f"{name} {100 * count / sum(voxels):.2g} %" in line for name, count in zip(NAMES, voxels, strict=True)
        )
    assert len(check(str(config), whole=False).lines) == 1


def capture(folder: Path, **changes: Any) -> dict[str, Any]:
    entry = {"name": "tiny", "raw": "raw.tif", "labels": "labels.tif", "voxel_size_nm": [40, 8, 8]} | changes
    return {"data": {"captures": [{key: value for key, value in entry.items() if value is not None}]}}


def odd_id(folder: Path) -> dict[str, Any]:
    labels = tissue()[1]
    labels[1, :2, :3] = 9
    write_tiff(folder / "labels.tif", labels)
    return {}


def other_shape(folder: Path) -> dict[str, Any]:
    write_tiff(folder / "labels.tif", tissue()[1][:, :-1])
    return {}


def no_bright(folder: Path) -> dict[str, Any]:
    labels = tissue()[1]
    write_tiff(folder / "labels.tif", np.where(labels == 3, 2, labels).astype(np.uint8))
    return {}


MISTAKES: list[tuple[Callable[[Path], dict[str, Any]], str, str]] = [
    (odd_id, "data.captures.0.labels|", r"9 \(6 voxels\)"),
    (other_shape, "data.captures.0.labels", "give labels of that shape"),
    (no_bright, "classes", "'bright' has no voxel in the training part; correct its ids"),
    (lambda folder: capture(folder, raw="rew.tif"), "data.captures.0.raw", "no such file"),
    (lambda folder: capture(folder, voxel_size_nm=None), "data.captures.0", "states no voxel size"),
    (lambda folder: capture(folder, labelled_slices=[7]), "data.captures.0.labelled_slices", "slices 0 to 3"),
    (lambda _: {"inference": {"block_zyx": [4, 64, 160], "memory_gb": 0.0001}}, "inference.block_zyx", "smaller"),
    (lambda _: {"split": {"axis": "z"}}, "split", "Take fewer levels|no labelled voxel|leave"),
    (lambda _: {"network": {"features": [4, 6, 8, 8, 8, 8]}}, "network.features", "Use fewer levels"),
]


@pytest.mark.parametrize(("mistake", "key", "told"), MISTAKES)
def test_each_mistake_stands_at_its_line(
    mistake: Callable[[Path], dict[str, Any]], key: str, told: str, tmp_path: Path
) -> None:
    write_study(tmp_path)
    config = write_study(tmp_path, mistake(tmp_path))
    with pytest.raises(ConfigError) as refused:
        check(str(config))
    message = str(refused.value)
    assert re.search(told, message), message
    match = re.match(rf"{re.escape(str(config))}:(\d+): (?:{key})", message)
    assert match, message
    if key and not key.endswith("|"):
        name = key.split(".")[-1]
        line = config.read_text().splitlines()[int(match[1]) - 1]
        assert name.isdigit() or line.strip(" -").startswith(name)


def test_all_captures_are_looked_at_and_doubts_are_told(tmp_path: Path) -> None:
    config = write_study(
        tmp_path,
        {
            "data": {
                "captures": [
                    {"name": name, "raw": "none.tif", "labels": "labels.tif", "voxel_size_nm": [40, 8, 8]}
                    for name in ("a", "b")
                ]
            }
        },
    )
    with pytest.raises(ConfigError) as refused:
        check(str(config))
    assert [line.split(": ")[1] for line in str(refused.value).splitlines()] == [
        "data.captures.0.raw",
        "data.captures.1.raw",
    ]
    swapped = write_study(tmp_path, capture(tmp_path, voxel_size_nm=[8, 8, 40]) | {"network": {"features": [4]}})
    assert any("x, y, z" in doubt or "no squares" in doubt for doubt in check(str(swapped)).doubts)


def test_masks_and_runs_of_slices(tmp_path: Path) -> None:
    raw, labels = tissue((9, *SHAPE_ZYX[1:]))
    write_tiff(tmp_path / "raw.tif", raw)
    write_tiff(tmp_path / "labels.tif", labels[[1, 2, 5]])
    config = write_study(tmp_path, capture(tmp_path, labelled_slices=["1-2", 5], runs_as_captures=True))
    assert [line.split(":")[0] for line in check(str(config)).lines[:2]] == ["tiny_0001", "tiny_0005"]
    for number, name in enumerate(NAMES[1:], 2):
        write_tiff(tmp_path / f"{name}.tif", (labels == number).astype(np.uint8))
    masks = {name: f"{name}.tif" for name in NAMES[1:]}
    members = [{"name": "dark", "fill": True}, *({"name": name} for name in NAMES[1:])]
    filled = write_study(tmp_path, capture(tmp_path, labels=masks) | {"classes": {"members": members}})
    assert any(line.startswith("train") for line in check(str(filled)).lines)


def test_a_changed_configuration_is_told_with_the_commands_to_type(
    tmp_path: Path, vemseg: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_chain(write_study(tmp_path), tmp_path / "run", score=False)
    write_study(tmp_path, {"training": {"steps": 9}})
    monkeypatch.chdir(tmp_path)
    refused = vemseg("run", "study", "-p", "config=study.yaml", "-p", "run=run")
    assert refused.code == 2
    commands = [line.split() for line in refused.text.splitlines() if line.startswith("  vemseg ")]
    assert [words[1] for words in commands] == ["plan", "run"]
    assert vemseg(*commands[0][1:]).code == 0
    planned = vemseg("run", "study", "-p", "config=study.yaml", "-p", "run=run", "--dry-run")
    assert planned.code == 0
