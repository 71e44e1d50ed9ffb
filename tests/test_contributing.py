"""What CONTRIBUTING.md says of the files to change is true of the files there are.

Two of its rows are proved by dummies: see test_volume_registry.py and test_boosting_methods.py.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILE = re.compile(r"`([\w./-]+(?:/|\.\w+))`")


def test_every_path_that_it_names_exists() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"build"}  # what commands make
    named = [path for path in FILE.findall(TEXT) if path.split("/")[0] in folders and "/" in path]
    assert len(named) > 35
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_a_row_names_one_place_to_change_or_two_and_a_test() -> None:
    table = TEXT[TEXT.index("| I want to") : TEXT.index("Two rows are proved")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    assert len(rows) >= 10
    for wish, place, test in rows:
        assert 1 <= len(FILE.findall(place)) <= 3, wish  # the third is a choice: this file or that
        assert all(path.startswith("tests/") for path in FILE.findall(test)), wish
        assert FILE.findall(test), wish
