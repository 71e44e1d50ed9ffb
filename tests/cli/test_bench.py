"""vemseg bench: what it measures is consistent, feeds the estimate, and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tinystudy import Finished

from pipeline.argo.local import cores
from pipeline.proposal import bottleneck, speed
from pipeline.proposal.bottleneck import COMPUTING, DECODING, READING, SAMPLES, STAGES, WRITING, Limits, Storage
from pipeline.proposal.estimate import estimate, load_of
from pipeline.proposal.speed import Rate, Speed, kept
from pipeline.run.check import check
from pipeline.volume.stores import Store

Vemseg = Callable[..., Finished]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A short measurement that is kept however busy this machine is."""
    monkeypatch.setattr(speed, "LEAST_S", 0.1)
    monkeypatch.setattr(speed, "BUSY", 0.0)
    monkeypatch.setattr(bottleneck, "SHARDS", 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def told(ended: Finished) -> dict[str, object]:
    assert ended.code == 0, ended.text
    content: dict[str, object] = json.loads(ended.text[: ended.text.rindex("}") + 1])
    return content


@pytest.mark.parametrize("remote", [False, True])
def test_what_is_measured_feeds_the_estimate(
    remote: bool, study: Path, tmp_path: Path, vemseg: Vemseg, request: pytest.FixtureRequest
) -> None:
    place = request.getfixturevalue("bucket") if remote else str(tmp_path / "runs")
    found = told(vemseg("bench", place, "--config", study, "--threads", "1", "--json"))
    checked = check(str(study), whole=False)
    load = load_of(checked.config, checked.decision, checked.geometries, 1)
    measured = kept(load)
    assert measured is not None
    assert found["step_s"] == measured.step_s
    stages = found["stages"]
    assert isinstance(stages, dict)
    assert tuple(stages) == STAGES
    assert stages[COMPUTING] == {"voxels_per_s": measured.predicted_voxels_per_s}
    assert all(stages[stage]["bytes_per_s"] > 0 for stage in (READING, DECODING, WRITING))
    # Grey values hardly compress, class ids do.
    assert stages[READING]["bytes_per_s"] / stages[READING]["voxels_per_s"] > 0.3
    assert stages[WRITING]["bytes_per_s"] / stages[WRITING]["voxels_per_s"] < 0.2
    told_anew: list[Speed] = []

    def speed_of(asked: speed.Load) -> Speed:
        told_anew.append(speed.measured(replace(asked, threads=1)))
        return told_anew[-1]

    estimate(checked.config, checked.decision, checked.geometries, cores(), speed_of)
    assert told_anew == [measured]
    assert Rate.known(1) == Rate.of(measured, load)
    assert list(Store.open(place).list()) == []
    assert remote or list(Path(place).iterdir()) == []


def test_a_table_says_what_limits(study: Path, vemseg: Vemseg) -> None:
    ended = vemseg("bench", "runs", "--config", study)
    assert ended.code == 0, ended.text
    assert "prediction is limited by computing" in ended.text
    assert all(stage in ended.text for stage in STAGES)


@pytest.mark.parametrize(
    ("read_s", "decode_s", "write_s", "limit"),
    [(1, 1, 1, COMPUTING), (1, 3.5, 2, DECODING), (2.5, 2, 4, READING), (1, 1, 5, WRITING)],
)
def test_the_slowest_thread_limits(read_s: float, decode_s: float, write_s: float, limit: str) -> None:
    """Reading and decoding share one; computing takes 4 s here."""
    found = Limits(Storage(read_s, decode_s, write_s, 1.0, 0.1), Speed(2.0, 0.25), 1.0)
    assert found.inference == limit
    assert found.workers == 4 / (read_s + write_s)
    assert found.training == COMPUTING
    assert replace(found, batch_s=2.0).training == SAMPLES


def test_what_is_kept_is_found_before_and_after_torch_is_imported(study: Path, vemseg: Vemseg) -> None:
    """A process that has not imported torch knows less of its machine."""
    told(vemseg("bench", "runs", "--config", study, "--threads", "1", "--json"))
    code = f"""
import sys
from pipeline.proposal.estimate import load_of
from pipeline.proposal.speed import kept
from pipeline.run.check import check
checked = check({str(study)!r}, whole=False)
load = load_of(checked.config, checked.decision, checked.geometries, 1)
assert "torch" not in sys.modules
first = kept(load)
import torch
print(first is not None and first == kept(load))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"


@pytest.mark.parametrize(
    "words",
    [
        ("https://example.org/runs",),
        ("study.yaml/runs",),
        ("study.yaml",),
        (".", "--config", "none.yaml"),
        (".", "--threads", "0"),
        (".", "--nonsense"),
    ],
)
def test_mistakes_end_before_anything_is_measured(
    words: tuple[str, ...], vemseg: Vemseg, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("study.yaml").touch()
    monkeypatch.setattr(bottleneck, "measured_anew", pytest.fail)
    assert vemseg("bench", *words).code == 2
