"""What is imported ahead of a step: whatever goes wrong with that is left for the step to say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.cli import warm


@pytest.mark.parametrize("error", ["ImportError", "ValueError", "OSError", "RuntimeError"])
def test_an_import_that_fails_ends_nothing(error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as that of matplotlib where MPLBACKEND names none."""
    (tmp_path / "broken.py").write_text(f"raise {error}")
    (tmp_path / "whole.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(warm._LATE, "summary", ("broken", "whole"))
    warm.import_for(["summary"])
    assert "broken" not in sys.modules
    assert sys.modules.pop("whole")
