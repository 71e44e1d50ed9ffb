"""docs/workflow-fields.md lists what the local runner reads, ignores and refuses, just as the reader does it."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from pipeline.argo.fields import KINDS, markdown
from pipeline.cli.main import app

PAGE = Path(__file__).parents[2] / "docs" / "workflow-fields.md"


def test_the_page_is_what_the_command_prints() -> None:
    printed = CliRunner().invoke(app, ["run", "--fields"])
    assert printed.exit_code == 0
    assert printed.output == PAGE.read_text(), "run: vemseg run --fields > docs/workflow-fields.md"


def test_every_field_is_listed_with_its_kind() -> None:
    sections = markdown().split("\n## ")[1:]
    assert len(sections) == len(KINDS)
    for section, kind in zip(sections, KINDS, strict=True):
        for name in (*kind.read, *kind.no_meaning, *kind.refused):
            assert section.count(f"`{name}`") == 1
