"""The documentation builds strictly, and every command in it is one that vemseg takes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from pipeline.argo import load, settled_parameters
from pipeline.argo.shipped import workflow_file
from pipeline.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^( *)```sh\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:vemseg|\.venv/bin/vemseg) [^`]+)`")
# Stands for a value, or says that there are more.
_PLACEHOLDERS = ("…", "...", "RUN", "FILE")


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of vemseg in a page's blocks of code and between its backticks."""
    blocks = "\n".join(block for _, block in _BLOCK.findall(text)).replace("\\\n", " ")
    inline = (found.replace("\n", " ") for found in _INLINE.findall(text))
    for line in (*blocks.splitlines(), *inline):
        words = shlex.split(line, comments=True)
        names = [number for number, word in enumerate(words) if word.endswith("vemseg") and "pip" not in words]
        if names[:1] == [0]:
            yield words[1 : words.index(">") if ">" in words else None]


def told() -> list[Any]:
    found = {" ".join(words): (page, words) for page in PAGES for words in commands(page.read_text(encoding="utf-8"))}
    return [pytest.param(words, id=f"{page.name}: {text}") for text, (page, words) in found.items()]


@pytest.mark.parametrize("words", told())
def test_a_command_in_the_documentation_is_known(words: list[str]) -> None:
    command, names = typer.main.get_command(app), []
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"there is no command {words[0]}"
        command, names, words = command.commands[words[0]], [*names, words[0]], words[1:]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    assert {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)} <= known
    if words and not any(word in _PLACEHOLDERS for word in words) and not {"--help", "--fields"} & set(words):
        assert command.make_context(" ".join(names), list(words), resilient_parsing=len(words) < 2)
    if names == ["run"] and words and words[0] in ("study", "segment", "boost") and "-p" in words:
        given = [word.partition("=") for before, word in pairwise(words) if before == "-p"]
        settled_parameters(load(workflow_file(words[0])), {name: value for name, _, value in given})


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Links and anchors are checked; each page is in the navigation."""
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert sorted(re.findall(r"[a-z-]+\.md", str(yaml.safe_load(navigation)["nav"]))) == sorted(
        page.name for page in PAGES[1:]
    )
    pages = [page.read_text(encoding="utf-8") for page in (tmp_path / "site").glob("*.html")]
    assert pages
    assert not any(re.search(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', page) for page in pages)


def test_links_of_the_readme_lead_somewhere() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    places = [place for place in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in place]
    assert places
    assert [place for place in places if not (ROOT / place).exists()] == []
    assert len(text.splitlines()) <= 150
