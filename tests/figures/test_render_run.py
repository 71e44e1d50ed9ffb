"""`vemseg render` on a run: what it writes, that it goes on and starts anew, and that scores stand without it.

Pictures need OpenGL: those tests are skipped without it. Where it has to be missing, no driver is listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence
from tinystudy import Finished, place, write_study

from pipeline.config.model import parse_config
from pipeline.errors import MissingLibraryError
from pipeline.figures.render.drawing import require_opengl
from pipeline.run.events import read_events
from pipeline.run.layout import Run
from pipeline.steps.evaluate import evaluate
from pipeline.steps.plan import plan

Command = Callable[..., Finished]


@pytest.fixture
def opengl() -> None:
    """Skip where nothing can be drawn."""
    try:
        require_opengl()
    except MissingLibraryError as error:
        pytest.skip(str(error))


@pytest.fixture
def no_opengl(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No driver is found, as on a machine on which none is installed."""
    for variable in ("__EGL_VENDOR_LIBRARY_FILENAMES", "__EGL_VENDOR_LIBRARY_DIRS"):
        monkeypatch.setenv(variable, "/nowhere")
    monkeypatch.setenv("DISPLAY", "")
    require_opengl.cache_clear()
    yield
    require_opengl.cache_clear()


def with_renders(run: Run) -> Run:
    """The run, as if its configuration had asked for renders."""
    path = place(run) / "config.yaml"
    path.write_text(path.read_text().replace("renders: false", "renders: true"))
    assert parse_config(path.read_text(), "config.yaml").evaluation.renders
    return Run.open(run.store.url)


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in sorted(folder.iterdir())}


@pytest.mark.slow
@pytest.mark.usefixtures("opengl")
def test_a_run_is_drawn_once_and_anew_after_a_kill(copied: Run, vemseg: Command) -> None:
    folder = place(copied) / "evaluation/renders"
    assert vemseg("render", place(copied)).code == 0
    first = times(folder)
    classes = [f"class_multilabel_tiny_{name}.png" for name in ("bright", "dark", "grey")]
    assert list(first) == [
        *classes,
        *(
            f"{kind}_multilabel_tiny.{ending}"
            for kind, ending in (("overview", "png"), ("scene", "html"), ("turntable", "gif"))
        ),
    ]
    for name in classes:
        assert len(np.unique(np.asarray(Image.open(folder / name)).reshape(-1, 4), axis=0)) > 50
    with Image.open(folder / "turntable_multilabel_tiny.gif") as table:
        frames = [np.asarray(frame.convert("RGB"), np.int16) for frame in ImageSequence.Iterator(table)]
    assert len(frames) == 24
    assert (np.abs(frames[0] - frames[6]).max(axis=2) > 40).mean() > 0.02, "it does not turn"
    assert vemseg("render", place(copied)).code == 0
    assert times(folder) == first
    (place(copied) / "done/render/renders.json").unlink()  # as a kill leaves it
    (folder / classes[0]).unlink()
    assert vemseg("render", place(copied)).code == 0
    assert list(times(folder)) == list(first)


def test_a_run_without_scores_is_refused_in_plain_words(tmp_path: Path, vemseg: Command) -> None:
    plan(str(write_study(tmp_path)), str(tmp_path / "run"))
    refused = vemseg("render", tmp_path / "run")
    assert refused.code == 2
    assert "has no scores" in refused.text
    assert "Traceback" not in refused.text


@pytest.mark.usefixtures("no_opengl")
def test_without_opengl_the_scores_stand_and_the_reason_is_told(copied: Run) -> None:
    (place(copied) / "done/evaluate/scores.json").unlink()
    run = with_renders(copied)
    table = evaluate(run.store.url)
    assert run.scores is not None
    assert run.scores.headline == table.headline
    events = [event for event in read_events(run.store, "events/evaluate.jsonl") if event["event"] == "no renders"]
    assert "libegl1" in events[-1]["reason"]
    assert not list(run.evaluation_store.list("renders"))


@pytest.mark.usefixtures("no_opengl")
def test_without_opengl_the_command_names_the_package(copied: Run, vemseg: Command) -> None:
    refused = vemseg("render", place(copied))
    assert refused.code == 2
    assert "libegl1" in refused.text


@pytest.mark.usefixtures("opengl")
def test_a_render_that_fails_does_not_take_the_scores_with_it(copied: Run) -> None:
    """An image that is damaged stands for whatever can go wrong; the scores are there already."""
    run = with_renders(copied)
    for damaged in (place(copied) / "volume.zarr/tiny").glob("0/c/**/*"):
        if damaged.is_file():
            damaged.write_bytes(b"no shard")
    assert evaluate(run.store.url).headline == run.scores.headline  # type: ignore[union-attr]
    events = [event for event in read_events(run.store, "events/evaluate.jsonl") if event["event"] == "no renders"]
    assert events[-1]["reason"]
    assert not list(run.evaluation_store.list("renders"))
