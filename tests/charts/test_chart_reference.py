"""The chart's README lists every value with its default and description: it is what charts/reference.py would write."""

from __future__ import annotations

import runpy

from charts_support import CHART


def test_the_readmes_table_of_values_is_up_to_date() -> None:
    written = runpy.run_path(str(CHART.parent / "reference.py"))["readme"]()
    assert (CHART / "README.md").read_text() == written, "run: python charts/reference.py"
