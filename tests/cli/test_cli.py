"""The command line: help that answers at once, messages that name the place, and both workflows from end to end.

The workflows run in real processes, through the local runner, as a user would start them. What each step computes is
tested with the steps.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import tifffile
import typer
import yaml
from tinystudy import Finished, files, markers, place, tissue, whole, write_study

from pipeline.cli.main import app
from pipeline.config.examples import example_names
from pipeline.config.model import Config
from pipeline.run.layout import Run
from pipeline.steps.infer import infer
from pipeline.steps.plan import plan

WORKFLOWS = Path(__file__).parents[2] / "workflows"
Vemseg = Callable[..., Finished]


def commands() -> Iterator[tuple[str, Any]]:
    """Every command (a click one, whichever click typer brings) with the words that call it."""
    for name, command in vars(typer.main.get_command(app))["commands"].items():
        if hasattr(command, "commands"):
            yield from ((f"{name} {inner}", each) for inner, each in command.commands.items())
        elif not command.hidden:
            yield name, command


def test_help_is_grouped_and_imports_nothing_slow() -> None:
    heavy = ("torch", "zarr", "pydantic", "numpy", "obstore", "matplotlib", "tifffile", "yaml")
    code = f"""
import sys
from pipeline.cli.main import main
sys.argv = ["vemseg", "--help"]
try:
    main()
except SystemExit as ended:
    assert not ended.code
print("imported:", [name for name in {heavy} if name in sys.modules])
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "imported: []" in printed
    groups = [printed.index(title) for title in ("Studies", "Steps (what the pods", "Volumes", "Configuration")]
    assert groups == sorted(groups)


@pytest.mark.parametrize(("words", "command"), list(commands()), ids=lambda value: value if type(value) is str else "")
def test_every_command_has_an_example_that_it_accepts(words: str, command: Any, vemseg: Vemseg) -> None:
    example = shlex.split((command.epilog or "").partition(">")[0])
    prefix = ["vemseg", *words.split()]
    assert example[: len(prefix)] == prefix
    assert command.make_context(words, example[len(prefix) :])
    assert all(getattr(parameter, "help", None) for parameter in command.params if parameter.name != "help")
    shown = vemseg(*words.split(), "--help")
    assert shown.code == 0
    assert "vemseg" in shown.text


def test_version_and_no_command(vemseg: Vemseg) -> None:
    assert vemseg("--version").text.startswith("vemseg ")
    assert "Usage" in vemseg().text


@pytest.mark.parametrize(("escaped", "path"), [("percent", "/none/it's {{a}} $(HOME) 100%"), ("", "/none/100%25")])
def test_arguments_of_a_workflow_are_read_back(escaped: str, path: str) -> None:
    """Where a workflow says that it has escaped them; by hand, an argument is what it is."""
    written = quote(path) if escaped else path
    words = [sys.executable, "-m", "pipeline", "evaluate", f"--run={written}"]
    environment = {**os.environ, "VEMSEG_ARGUMENTS": escaped}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{path}: " in done.stderr


@pytest.mark.parametrize("name", example_names())
def test_examples_are_right(name: str, tmp_path: Path, vemseg: Vemseg) -> None:
    example = vemseg("config", "example", name)
    (tmp_path / "study.yaml").write_text(example.text)
    checked = vemseg("config", "check", tmp_path / "study.yaml", "--offline")
    assert checked.code == 0
    assert "multilabel" in checked.text


def test_check_names_the_line(tmp_path: Path, vemseg: Vemseg) -> None:
    path = write_study(tmp_path)
    text = path.read_text().replace("pool_samples:", "pool_sample:")
    path.write_text(text)
    line = text[: text.index("pool_sample:")].count("\n") + 1
    checked = vemseg("config", "check", path)
    assert checked.code == 2
    assert f"{path}:{line}: augmentation.pool_sample: unknown key; did you mean 'pool_samples'" in checked.text
    assert vemseg("config", "check", tmp_path / "none.yaml").code == 2
    assert vemseg("config", "example", "nonsense").code == 2


def test_schema_names_every_field(vemseg: Vemseg) -> None:
    schema = json.loads(vemseg("config", "schema").text)
    assert set(schema["properties"]) == set(Config.model_fields)


def test_inspect_tells_how_far_a_run_is(study: Path, finished: Run, tmp_path: Path, vemseg: Vemseg) -> None:
    run = tmp_path / "run"
    assert vemseg("inspect", run).code == 2
    run.mkdir()
    asked_too_early = vemseg("inspect", run)
    assert asked_too_early.code == 2
    assert "vemseg plan" in asked_too_early.text
    plan(str(study), str(run))
    assert row(vemseg("inspect", run), "grey") == ["grey", "no", "-", "-"]
    for folder, seen in (("models", ["0", "of", "4"]), ("done", ["4", "of", "4"])):
        shutil.copytree(place(finished) / folder, run / folder, dirs_exist_ok=True)
        if folder == "models":
            shutil.copytree(place(finished) / "done/train", run / "done/train")
        else:  # what marks vouch for must be there
            shutil.copytree(place(finished) / "volume.zarr", run / "volume.zarr", dirs_exist_ok=True)
        assert row(vemseg("inspect", run), "grey")[-3:] == seen
    shutil.copytree(place(finished) / "evaluation", run / "evaluation")
    shown = vemseg("inspect", run).text
    assert "weighted" in shown.lower()
    assert "figures" in shown


def row(shown: Finished, first: str) -> list[str]:
    """The words of the line of a table that starts with a word, without the lines around it."""
    assert shown.code == 0, shown.text
    lines = (line.translate(dict.fromkeys(map(ord, "│┃|"), " ")).split() for line in shown.text.splitlines())
    return next(words for words in lines if words[:1] == [first])


def test_phantom_is_a_study_to_start_from(tmp_path: Path, vemseg: Vemseg) -> None:
    made = vemseg("phantom", tmp_path / "capture", "--shape", "3,64,80", "--seed", "4")
    assert made.code == 0, made.text
    assert tifffile.imread(tmp_path / "capture/raw.tif").shape == (3, 64, 80)
    assert tifffile.imread(tmp_path / "capture/labels.tif").shape == (3, 64, 80)
    assert vemseg("config", "check", tmp_path / "capture/study.yaml", "--offline").code == 0
    assert vemseg("phantom", tmp_path / "capture", "--shape", "3,64,80").code == 2
    for shape in ("3,64", "3,64,nan", "3.5,64,80", "0,64,80"):
        assert vemseg("phantom", tmp_path / "other", "--shape", shape).code == 2


@pytest.mark.parametrize("ending", ["tif", "npy"])
def test_export_writes_the_ids(ending: str, finished: Run, tmp_path: Path, vemseg: Vemseg) -> None:
    labels = place(finished) / "volume.zarr/tiny/labels/segmentation"
    exported = vemseg("export", labels, tmp_path / f"ids.{ending}")
    assert exported.code == 0, exported.text
    path = tmp_path / f"ids.{ending}"
    written = tifffile.imread(path) if ending == "tif" else np.load(path)
    assert np.array_equal(written, whole(finished.segmentation("multilabel", "tiny")))
    assert vemseg("export", labels, tmp_path / "ids.jpg").code == 2


def start(folder: Path, *words: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *map(str, words)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> Finished:
    text, _ = process.communicate(timeout=300)
    return Finished(process.returncode, text)


def wait_for(path: Path, pattern: str, words: str, process: subprocess.Popen[str]) -> None:
    """Until a file that matches the pattern holds the words."""
    while process.poll() is None:
        if any(words in file.read_text(errors="replace") for file in path.glob(pattern)):
            return
        time.sleep(0.05)
    raise AssertionError(process.communicate()[0])


@pytest.mark.slow
def test_the_study_workflow_is_interrupted_and_goes_on(tmp_path: Path, vemseg: Vemseg) -> None:
    """Dry, interrupted in training by Ctrl-C, resumed to its end, and started again when all is done."""
    config = write_study(tmp_path, {"training": {"steps": 60}, "inference": {"workers": 2}})
    run = tmp_path / "run"
    command = ["run", WORKFLOWS / "study.yaml", "-p", f"config={config.name}", "-p", "run=run", "--jobs", "2"]

    dry = vemseg("run", WORKFLOWS / "study.yaml", "-p", f"config={config}", "-p", f"run={run}", "--dry-run")
    assert dry.code == 0, dry.text
    assert "evaluate" in dry.text
    assert not run.exists()

    interrupted = start(tmp_path, *command)
    wait_for(run / "workflow/logs", "*train*.log", "steps/s", interrupted)
    interrupted.send_signal(signal.SIGINT)
    stopped = end(interrupted)
    assert stopped.code == 75, stopped.text
    planned = markers(run, "plan") | markers(run, "augment")

    resumed = end(start(tmp_path, *command))
    assert resumed.code == 0, resumed.text
    assert "goes on at step" in "".join(path.read_text() for path in (run / "workflow/logs").glob("*train*.log"))
    assert markers(run, "plan") | markers(run, "augment") == planned
    assert "F1" in resumed.text
    assert "bright" in resumed.text

    before, done = files(run), markers(run, ".")
    again = end(start(tmp_path, *command))
    assert again.code == 0, again.text
    assert (files(run), markers(run, ".")) == (before, done)


@pytest.mark.slow
def test_the_segment_workflow_gives_what_the_study_would(study: Path, copied: Run, tmp_path: Path) -> None:
    """A trained model on a new volume, against the same model's prediction of that volume within its study."""
    raw, _ = tissue()
    tifffile.imwrite(
        tmp_path / "new.tif",
        raw,
        imagej=True,
        resolution=(125, 125),
        metadata={"axes": "ZYX", "spacing": 0.04, "unit": "um"},
    )
    model = place(copied) / "models/multilabel"
    command = ["run", WORKFLOWS / "segment.yaml", "-p", f"model={model}", "-p", "input=new.tif", "-p", "run=new"]
    segmented = end(start(tmp_path, *command, "--jobs", "1"))
    assert segmented.code == 0, segmented.text

    settings = yaml.safe_load(study.read_text())
    settings["inference"]["region"] = "all"
    everything = study.with_name("everything.yaml")
    everything.write_text(yaml.safe_dump(settings))
    plan(str(everything), str(place(copied)), update=True)
    infer(str(place(copied)), target="multilabel")
    new = Run.open(tmp_path / "new")
    ids = whole(new.segmentation("multilabel", "volume"))
    assert np.array_equal(ids, whole(copied.segmentation("multilabel", "tiny")))

    shares = [line.split(",") for line in (tmp_path / "new/evaluation/shares.csv").read_text().splitlines()[1:]]
    assert [int(line[4]) for line in shares] == [np.count_nonzero(ids == value) for value in (1, 2, 3)]
    assert sum(float(line[5]) for line in shares) == pytest.approx(1.0)
    assert (tmp_path / "new/evaluation/figures/preview_multilabel_volume.png").read_bytes().startswith(b"\x89PNG")
