"""What all tests share: the tiny study, planned and run once for those that only look at it; no deadlines.

An example has no deadline of its own: a busy machine is no failure, and pytest's timeout stops a hang.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from s3server import new_bucket, serving_s3
from tinystudy import INSTANCES, Finished, place, run_chain, write_study

from pipeline.cli.main import main
from pipeline.run.layout import Run
from pipeline.steps.evaluate import evaluate
from pipeline.steps.separate import separate

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a tiny study with all its targets."""
    return write_study(tmp_path_factory.mktemp("study"), {"training": {"targets": "all"}})


@pytest.fixture(scope="session")
def finished(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the study in which everything is done; only to be read."""
    return run_chain(study, tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture(scope="session")
def with_objects(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in which the objects of two classes are told apart, measured and scored; only to be read."""
    folder = tmp_path_factory.mktemp("with-objects")
    run = run_chain(write_study(folder, INSTANCES), folder / "run", score=False)
    separate(run.store.url)
    evaluate(run.store.url)
    return run


@pytest.fixture
def copied(finished: Run, tmp_path: Path) -> Run:
    """A copy of the finished run, to be changed."""
    shutil.copytree(place(finished), tmp_path / "run")
    return Run.open(tmp_path / "run")


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 server in this process."""
    with serving_s3() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket on a server that the environment names."""
    return new_bucket(s3_endpoint, monkeypatch)


@pytest.fixture
def vemseg(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """Run a command line in this process, which has imported all that it needs."""

    def command(*words: str | Path) -> Finished:
        capfd.readouterr()
        monkeypatch.setattr("sys.argv", ["vemseg", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        return Finished(code, "".join(capfd.readouterr()))

    return command
