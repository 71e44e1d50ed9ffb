"""A whole study whose steps are forked holds, byte for byte, what it holds when each is a process started anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from chain import comparable
from tinystudy import BOOSTING, write_study

from pipeline.argo import load, run
from pipeline.argo.forks import CAN_FORK
from pipeline.argo.shipped import find_workflow


@pytest.mark.slow
@pytest.mark.skipif(not CAN_FORK, reason="no step is forked here")
def test_forked_and_started_steps_write_the_same_files(tmp_path: Path) -> None:
    config = write_study(tmp_path, {"boosting": BOOSTING["boosting"] | {"methods": ["zssr"]}})
    place = tmp_path / "run"
    written = []
    for forking in (False, True):
        parameters = {"config": str(config), "run": str(place)}
        result = run(load(find_workflow("study")), parameters, state_dir=place / "workflow", jobs=2, forking=forking)
        assert result.phase == "Succeeded", result.message
        server_log = place / "workflow/forks.log"
        assert server_log.exists() == forking
        assert not forking or server_log.read_text() == ""
        written.append(comparable(place))
        place.rename(tmp_path / f"forked-{forking}")
    assert written[0] == written[1]
