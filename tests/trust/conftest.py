"""What `make trust` shows: a table of what was tried and what came of it, after the tests that tried it.

Everything here runs in every test run, a few times each; with ``VEMSEG_TRUST=full`` as often as the table promises.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from chain import Chain, undisturbed_chain

FULL = os.environ.get("VEMSEG_TRUST") == "full"
ROW = "trust"


@pytest.fixture
def times() -> Callable[[int, int], int]:
    """How often to try: a few times, or as often as is promised."""
    return lambda few, promised: promised if FULL else few


@pytest.fixture
def row(record_property: Callable[[str, object], None]) -> Callable[[str, str], None]:
    """Adds a row to the table: what was tried, and what came of it."""
    return lambda what, result: record_property(ROW, (what, result))


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """A tiny study, step by step, with the run as it was before each step and after the last."""
    return undisturbed_chain(tmp_path_factory.mktemp("chain"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    rows = [(value, report.outcome) for report in reports for name, value in report.user_properties if name == ROW]
    here = Path(__file__).parent.name
    others: dict[str, list[str]] = {}
    for report in reports:
        if here not in Path(report.location[0]).parts:
            others.setdefault(report.location[0], []).append(report.outcome)
    for file, outcomes in others.items():
        passed = outcomes.count("passed")
        rows.append(((file, f"{passed} of {len(outcomes)} tests"), "passed" if passed == len(outcomes) else "failed"))
    if rows:
        terminalreporter.section("trust")
        width = max(len(what) for (what, _), _ in rows)
        for (what, result), outcome in sorted(rows):
            terminalreporter.line(f"{what:{width}}  {result}{'' if outcome == 'passed' else '  FAILED'}")
