"""The table of the benchmarks: ratios of turns, their quartiles, what reaches its bar, and what is kept of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.bench.table import Row, draw, markdown, options, show

FASTER = Row("inference", "a peer", "s", (1.0, 2.0, 4.0), (6.0, 10.0, 28.0), bar=5)
COST = Row("loading", "memory", "s", (1.1, 2.0), (1.0, 2.0), bar=1.0, at_most=True)
ALONE = Row("renders", "by itself", "s", (18.0,), bar=20, at_most=True, note="half | whole")


def test_the_ratio_of_each_turn_counts_and_not_that_of_medians() -> None:
    assert FASTER.ratios == [6.0, 5.0, 7.0]
    assert (FASTER.ratio, FASTER.quartiles, FASTER.reached) == (6.0, (5.5, 6.5), True)
    assert COST.ratio == pytest.approx(1.05)
    assert (COST.reached, ALONE.reached, ALONE.ratio) == (False, True, 18.0)
    assert FASTER.share_of_bar == pytest.approx(6 / 5)
    assert COST.share_of_bar == pytest.approx(1 / 1.05)


def test_rows_are_kept_whole_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = options("What it is.", repetitions=3).parse_args(["--json", str(tmp_path / "rows.json")])
    show(iter([FASTER, COST, ALONE]), asked)
    told = json.loads((tmp_path / "rows.json").read_text())
    assert [Row.from_json(each) for each in told] == [FASTER, COST, ALONE]
    assert (told[0]["ratio"], told[0]["quartiles"], told[0]["turns"], told[0]["reached"]) == (6.0, [5.5, 6.5], 3, True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| inference | a peer | 2 s | 10 s | 6 (5.5 to 6.5) | ≥ 5 | yes |  |"
    assert lines[4] == r"| renders | by itself | 18 s |  | 18 | ≤ 20 | yes | half \| whole |"
    assert markdown([FASTER]).count("\n") == 2
    draw([FASTER, COST, ALONE], tmp_path / "new" / "bench.png")
    with Image.open(tmp_path / "new" / "bench.png") as picture:
        assert picture.width > 800
        assert len(picture.convert("RGB").getcolors(2**24) or []) > 10
