"""SIGKILL at any moment of any step: the step that is started again ends with the files of one left in peace.

Half of the kills come at random times, half right after one of the step's writes. Boosting, renders and the report are
steps like the others. Files are compared byte for byte; of the report, all but what it says of times.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from chain import Chain, Step, comparable

PARTS = 4 if os.environ.get("VEMSEG_TRUST") == "full" else 1
"""Of the steps, so that several processes can share the work; each makes the undisturbed chain for itself."""


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(PARTS))
def test_sigkill_in_every_step(
    part: int, chain: Chain, times: Callable[[int, int], int], row: Callable[[str, str], None], tmp_path: Path
) -> None:
    steps, wanted = chain.steps[part::PARTS], times(len(chain.steps), 200)
    each = -(-wanted // len(chain.steps))
    rng = random.Random(part)
    kills = sum(_killed(chain, step, each, rng, tmp_path) for step in steps)
    names = ", ".join(step.name for step in steps)
    row(
        f"SIGKILL at random moments, part {part + 1} of {PARTS}",
        f"{kills} of {kills} ended with the same bytes: {names}",
    )
    assert kills >= each * len(steps)


def _killed(chain: Chain, step: Step, wanted: int, rng: random.Random, folder: Path) -> int:
    """Kill the step as often as is wanted, over as many runs as that takes."""
    expected, log, kills, longest = chain.after(step), folder / "log", 0, chain.seconds[step.name]
    while kills < wanted:
        run, code = chain.before(step, folder / "run"), None
        while code != 0:
            if kills >= wanted:
                child = step.start(log, run)
            elif kills % 2:
                child = step.start(log, run, f"die-after={rng.randint(1, 8)}")
            else:
                child = step.start(log, run)
                time.sleep(rng.uniform(0.0, 0.9 * longest))
                child.process.kill()
            ended = child.end()
            code = ended.code
            assert code in (0, -signal.SIGKILL), f"{step.name}: {ended.text}"
            kills += code != 0
        found = comparable(run)
        assert found.keys() == expected.keys(), step.name
        assert [name for name in found if found[name] != expected[name]] == [], step.name
    return kills
