"""The example notebook runs as it is, and what it shows is there: run, slices, segmentation and scene."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs/notebook.ipynb"
SMALL_BYTES = 500_000


def test_it_is_kept_small() -> None:
    assert NOTEBOOK.stat().st_size < SMALL_BYTES


@pytest.mark.slow
def test_it_runs_and_its_objects_show_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    shown = [
        output["data"]["text/html"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    run, image, truth, segmentation, scene = shown
    assert "Weighted F1" in run
    assert all("data:image/png;base64," in volume for volume in (image, truth, segmentation))
    assert scene.startswith("<iframe")
