"""Small workflow files for the tests of the local runner."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.argo import Workflow, load

HEAD = """\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: w}
spec:
  entrypoint: main
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Write a workflow file whose spec goes on with the given text; line 6 is its first line."""

    def function(spec: str) -> Path:
        file = tmp_path / "w.yaml"
        file.write_text(HEAD + textwrap.indent(textwrap.dedent(spec).strip("\n"), "  ") + "\n")
        return file

    return function


@pytest.fixture
def make(write: Callable[[str], Path]) -> Callable[[str], Workflow]:
    """Write and load a workflow."""
    return lambda spec: load(write(spec))
