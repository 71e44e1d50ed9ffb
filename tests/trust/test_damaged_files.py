"""One byte flipped, a file emptied, a file removed: `vemseg verify` names each, and the same `vemseg run` mends it.

Files of every kind that a finished study holds are drawn at random: volumes, models, tables, figures, markers. What
tells times (events, metrics, logs) vouches for nothing and is left out.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from chain import OFTEN, comparable
from tinystudy import Child, Finished, files, write_study

WORKFLOW = Path(__file__).parents[2] / "workflows" / "study.yaml"
FEW, TOGETHER = 10, 20
"""Files damaged where little is tried, and at most before each run that mends them."""
CONFIGURATION = {"config.yaml", "done/plan/plan.json"}
"""The configuration of a run, and the only mark that vouches for it."""


def study(config: Path, run: Path) -> Finished:
    """The command that a user types; it starts a process for each step."""
    words = ["run", str(WORKFLOW), "-p", f"config={config}", "-p", f"run={run}"]
    ended = subprocess.run([sys.executable, "-m", "pipeline", *words], capture_output=True, text=True)
    return Finished(ended.returncode, ended.stdout + ended.stderr)


def verify(run: Path) -> Finished:
    return Child(run.with_name("log"), "verify", run).end()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A configuration and the run that `vemseg run` has made of it."""
    folder = tmp_path_factory.mktemp("damaged")
    config, run = write_study(folder, OFTEN), folder / "run"
    ended = study(config, run)
    assert ended.code == 0, ended.text
    return config, run


@pytest.mark.timeout(1200)
def test_damage_is_named_and_mended(
    finished: tuple[Path, Path], times: Callable[[int, int], int], row: Callable[[str, str], None]
) -> None:
    config, run = finished
    expected, rng, wanted = comparable(run), random.Random(0), times(FEW, 100)
    assert verify(run).code == 0
    named = mended = 0
    while mended < wanted:
        damaged = rng.sample(sorted(files(run)), min(TOGETHER, wanted - mended))
        if set(damaged) >= CONFIGURATION:  # together they are those of another configuration, which is refused
            damaged.remove("config.yaml")
        for name in damaged:
            whole = (run / name).read_bytes()
            _damage(run / name, rng)
            looked = verify(run)
            named += looked.code == 1 and name in looked.text
            (run / name).write_bytes(whole)
        for name in damaged:
            _damage(run / name, rng)
        ended = study(config, run)
        assert ended.code == 0, f"{damaged}: {ended.text[-4000:]}"
        assert verify(run).code == 0
        found = comparable(run)
        assert [name for name in expected if found.get(name) != expected[name]] == [], damaged
        mended += len(damaged)
    assert named == wanted
    row("a byte flipped, a file emptied or removed", f"{named} named by verify, {mended} mended by the same vemseg run")


def _damage(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    kind = rng.choice(["flipped", "emptied", "removed"] if data else ["removed"])
    if kind == "removed":
        path.unlink()
    elif kind == "emptied":
        path.write_bytes(b"")
    else:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
