"""The project's own workflows run from end to end, with a script in place of `vemseg` that notes what it is told."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest
import yaml

from pipeline.argo import load, run
from pipeline.argo.yamlfile import tags_in_quotes
from pipeline.run.phases import JOINS, SEPARATION

WORKFLOWS = Path(__file__).parents[2] / "workflows"


def test_the_workflow_files_are_those_of_their_source() -> None:
    script = runpy.run_path(str(WORKFLOWS / "source/assemble.py"))
    expected = script["workflows"]()
    assert set(expected) == set(WORKFLOWS.glob("*.yaml"))
    for path, text in expected.items():
        assert path.read_text() == text, "run: make workflows"


# It is no server of forks: the runner starts a process for each step.
STUB = """#!/bin/sh
[ "$1" != steps ] || exit 1
echo "$@" >> "$NOTES"
for argument; do
  case $argument in --outputs=*)
    folder=${argument#--outputs=}
    mkdir -p "$folder"
    echo '["multilabel", "membrane"]' > "$folder/targets"
    echo ${AUGMENT_WORKERS:-2} > "$folder/augment-workers"
    echo 1 > "$folder/train-devices"
    echo 3 > "$folder/infer-workers"
    echo ${INFER_HERE:-3} > "$folder/infer-here"
    echo "${INFER_GROUPS:-[]}" > "$folder/infer-groups"
    echo "${INFER_TOGETHER:-[]}" > "$folder/infer-together"
    echo membrane > "$folder/target"
    echo ${SEPARATE_WORKERS:-0} > "$folder/separate-workers"
    echo ${MERGE_WORKERS:-0} > "$folder/merge-workers"
    echo ${BOOSTING:-false} > "$folder/boosting"
    echo "${BOOST_METHODS:-[]}" > "$folder/boost-methods"
    echo ${BOOST_LEARNS:-false} > "$folder/boost-learns"
    echo 2 > "$folder/boost-workers"
  esac
done
"""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the stub where the runner looks first, and return the file it writes its arguments to."""
    stub = tmp_path / "bin" / "vemseg"
    stub.parent.mkdir()
    stub.write_text(STUB)
    stub.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(stub.parent / "python"))
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    return tmp_path / "notes"


def test_study(notes: Path, tmp_path: Path) -> None:
    parameters = {"config": "study.yaml", "run": "runs/a"}
    result = run(load(WORKFLOWS / "study.yaml"), parameters, state_dir=tmp_path / "state", jobs=1)
    assert result.phase == "Succeeded"
    lines = notes.read_text().splitlines()
    assert lines[0].startswith("plan --config=study.yaml --run=runs/a --outputs=/")
    assert sorted(lines[1:3]) == [f"augment --run=runs/a --worker={i} --workers=2" for i in range(2)]
    targets = ("membrane", "multilabel")
    expected = [f"train --run=runs/a --target={target}" for target in targets]
    expected += [
        f"infer --run=runs/a --target={t} --variant=native --worker={i} --workers=3" for t in targets for i in range(3)
    ]
    assert sorted(lines[3:-3]) == sorted(expected)
    assert lines[-3:-1] == ["evaluate --run=runs/a", "report --unless-current runs/a"]
    assert lines[-1].startswith("summary --run=runs/a --workflow=vemseg-study --status=Succeeded --duration=")


def test_a_target_is_predicted_as_soon_as_it_is_trained(notes: Path, tmp_path: Path) -> None:
    parameters = {"config": "study.yaml", "run": "runs/a"}
    result = run(load(WORKFLOWS / "study.yaml"), parameters, state_dir=tmp_path / "state", jobs=4)
    nodes = result.nodes
    for index, target in enumerate(("multilabel", "membrane")):
        trained = nodes[f"vemseg-study.target({index}:{target}).train"].finished_at
        predicted = nodes[f"vemseg-study.target({index}:{target}).infer(0:0)"].created_at
        assert trained is not None
        assert 0 <= predicted - trained < 1


def test_where_few_pods_run_one_predicts_several_targets_once_all_are_trained(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFER_HERE", "0")
    monkeypatch.setenv("INFER_TOGETHER", '["multilabel,membrane"]')
    parameters = {"config": "study.yaml", "run": "runs/a", "at-once": "2"}
    assert run(load(WORKFLOWS / "study.yaml"), parameters, state_dir=tmp_path / "state", jobs=2).phase == "Succeeded"
    lines = notes.read_text().splitlines()
    assert lines[0].endswith(" --at-once=2")
    predicted = [line for line in lines if line.startswith("infer ")]
    expected = "infer --run=runs/a --target=multilabel,membrane --variant=native --worker={} --workers=3"
    assert sorted(predicted) == [expected.format(worker) for worker in range(3)]
    first = lines.index(predicted[0])
    assert max(n for n, line in enumerate(lines) if line.startswith("train ")) < first
    assert lines[first + 3] == "evaluate --run=runs/a"


def test_study_boosts_by_each_method(notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOSTING", "true")
    methods = [{"method": "bicubic", "learns": False}, {"method": "zssr", "learns": True}]
    monkeypatch.setenv("BOOST_METHODS", json.dumps(methods))
    parameters = {"config": "study.yaml", "run": "runs/a"}
    result = run(load(WORKFLOWS / "study.yaml"), parameters, state_dir=tmp_path / "state", jobs=2)
    assert result.phase == "Succeeded"
    nodes = result.nodes
    assert nodes["vemseg-study.boost(0:learns:false,method:bicubic).train"].phase == "Skipped"
    lines = notes.read_text().splitlines()
    assert lines.count("boost train --run=runs/a") == 1
    assert lines.index("boost degrade --run=runs/a") < lines.index("boost train --run=runs/a")
    for method in ("bicubic", "zssr"):
        for worker in range(2):
            applied = f"boost apply --run=runs/a --method={method} --worker={worker} --workers=2"
            predicted = f"infer --run=runs/a --target=multilabel --variant={method} --worker={worker} --workers=2"
            assert lines.index(applied) < lines.index(predicted) < lines.index("boost compare --run=runs/a")
    assert lines.index("boost compare --run=runs/a") < lines.index("report --unless-current runs/a")


def test_networks_are_merged_between_the_last_prediction_and_the_scores(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERGE_WORKERS", "2")
    parameters = {"config": "study.yaml", "run": "runs/a"}
    assert run(load(WORKFLOWS / "study.yaml"), parameters, state_dir=tmp_path / "state", jobs=1).phase == "Succeeded"
    lines = notes.read_text().splitlines()
    merged = [f"merge --run=runs/a --worker={worker} --workers=2" for worker in range(2)]
    first = lines.index(merged[0])
    assert max(n for n, line in enumerate(lines) if line.startswith("infer ")) < first
    assert lines[first : first + 3] == [*merged, "evaluate --run=runs/a"]


@pytest.mark.parametrize(("name", "after"), [("study", "evaluate"), ("segment", "finish")])
def test_objects_are_told_apart_phase_by_phase(
    name: str, after: str, notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow, parameters = load(WORKFLOWS / f"{name}.yaml"), {"run": "runs/a", **INPUTS[name]}
    nodes = run(workflow, parameters, state_dir=tmp_path / "without", jobs=4).nodes
    assert nodes[f"vemseg-{name}.separate"].phase == "Skipped"
    notes.unlink()
    monkeypatch.setenv("SEPARATE_WORKERS", "2")
    assert run(workflow, parameters, state_dir=tmp_path / "with", jobs=1).phase == "Succeeded"
    lines = notes.read_text().splitlines()
    expected = [
        f"separate --run=runs/a --phase={phase} --worker={worker} --workers={1 if phase in JOINS else 2}"
        for phase in SEPARATION
        for worker in range(1 if phase in JOINS else 2)
    ]
    first = lines.index(expected[0])
    assert max(n for n, line in enumerate(lines) if line.startswith("infer ")) < first
    assert lines[first : first + len(expected) + 1] == [*expected, f"{after} --run=runs/a"]


def test_study_without_boosting(notes: Path, tmp_path: Path) -> None:
    parameters = {"config": "study.yaml", "run": "runs/a"}
    nodes = run(load(WORKFLOWS / "study.yaml"), parameters, state_dir=tmp_path / "state", jobs=4).nodes
    tasks = ("degrade", "boost", "infer-boosted", "compare")
    assert {nodes[f"vemseg-study.{task}"].phase for task in tasks} == {"Skipped"}


def test_boost(notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for method, learns, trained in (("zssr", "true", ["boost train --run=runs/c"]), ("bicubic", "false", [])):
        monkeypatch.setenv("BOOST_LEARNS", learns)
        parameters = {"input": "stack.tif", "run": "runs/c", "method": method}
        result = run(load(WORKFLOWS / "boost.yaml"), parameters, state_dir=tmp_path / method, jobs=1)
        assert result.phase == "Succeeded"
        lines = notes.read_text().splitlines()
        notes.unlink()
        assert lines[0].startswith(f"boost prepare --input=stack.tif --run=runs/c --method={method} --settings=")
        applied = [f"boost apply --run=runs/c --method={method} --worker={i} --workers=2" for i in range(2)]
        assert lines[1:-1] == [*trained, *applied, "boost finish --run=runs/c"]


def test_study_without_augmentation_workers(notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUGMENT_WORKERS", "0")
    parameters = {"config": "study.yaml", "run": "runs/a"}
    result = run(load(WORKFLOWS / "study.yaml"), parameters, state_dir=tmp_path / "state", jobs=4)
    assert result.phase == "Succeeded"
    assert result.nodes["vemseg-study.augment"].phase == "Skipped"
    assert "augment" not in {line.split()[0] for line in notes.read_text().splitlines()}


GROUPS = '[{"first": 0, "count": 2}, {"first": 2, "count": 1}]'
INPUTS = {"study": {"config": "c.yaml"}, "segment": {"model": "m", "input": "stack.tif"}}


@pytest.mark.parametrize("name", sorted(INPUTS))
def test_groups_of_workers_do_what_the_workers_do(
    name: str, notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = {"run": "runs/a", **INPUTS[name]}
    workflow = load(WORKFLOWS / f"{name}.yaml")
    assert run(workflow, parameters, state_dir=tmp_path / "here", jobs=1).phase == "Succeeded"
    expected = [line for line in notes.read_text().splitlines() if line.startswith("infer ")]
    notes.unlink()
    monkeypatch.setenv("INFER_HERE", "0")
    monkeypatch.setenv("INFER_GROUPS", GROUPS)
    assert run(workflow, parameters, state_dir=tmp_path / "groups", jobs=1).phase == "Succeeded"
    assert [line for line in notes.read_text().splitlines() if line.startswith("infer ")] == expected


@pytest.mark.parametrize("name", sorted(INPUTS))
def test_a_nested_workflow_gets_every_parameter_that_its_pods_depend_on(name: str) -> None:
    spec = yaml.safe_load((WORKFLOWS / f"{name}.yaml").read_text())["spec"]
    templates = {template["name"]: template for template in spec["templates"]}
    group = yaml.safe_load(tags_in_quotes(templates["infer-group"]["resource"]["manifest"]))
    passed = {argument["name"] for argument in group["spec"]["arguments"]["parameters"]}
    around = {key: value for key, value in spec.items() if key not in ("templates", "arguments")}
    read = json.dumps([around, templates["infer"], templates["infer-range"]])
    parameters = spec["arguments"]["parameters"]
    for parameter in parameters:
        used = re.search(rf"workflow\.parameters(\.{parameter['name']}\b(?!-)|\['{parameter['name']}'\])", read)
        required = "value" not in parameter and "valueFrom" not in parameter
        assert not (used or required) or parameter["name"] in passed, parameter["name"]


def test_segment(notes: Path, tmp_path: Path) -> None:
    parameters = {"model": "m", "input": "stack.tif", "run": "runs/b"}
    result = run(load(WORKFLOWS / "segment.yaml"), parameters, state_dir=tmp_path / "state", jobs=1)
    assert result.phase == "Succeeded"
    lines = notes.read_text().splitlines()
    assert lines[0].startswith("prepare --model=m --input=stack.tif --run=runs/b --outputs=/")
    assert lines[1:-2] == [f"infer --run=runs/b --target=membrane --worker={i} --workers=3" for i in range(3)]
    assert lines[-2] == "finish --run=runs/b"
    assert lines[-1].startswith("summary --run=runs/b --workflow=vemseg-segment --status=Succeeded --duration=")
