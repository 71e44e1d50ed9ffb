"""New data in a folder is segmented by itself: the example's CronWorkflow, whose looks are started by hand here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from lab import REPOSITORY, Files, Lab, Object
from observing import ENDED, wait_for
from tinystudy import VOXEL_SIZE_NM, tissue, write_tiff

pytestmark = pytest.mark.timeout(1200)
EXAMPLE = REPOSITORY / "workflows/examples/cron-segment.yaml"


@pytest.fixture(scope="module")
def cron(lab: Lab, teacher: str) -> Object:
    """The example as a user sets it."""
    example: Object = yaml.safe_load(EXAMPLE.read_text())
    size = ",".join(map(str, VOXEL_SIZE_NM))
    given = {"model": f"{teacher}/models/multilabel", "voxel-size-nm": size, "settled-seconds": "0"}
    for parameter in example["spec"]["workflowSpec"]["arguments"]["parameters"]:
        if parameter["name"] in given:
            parameter["value"] = given[parameter["name"]]
    lab.kubectl("create", "--filename", "-", stdin=json.dumps(example))
    return example


def test_each_new_volume_is_segmented_once(cron: Object, lab: Lab, files: Files, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    (inbox / "Second.volume").mkdir(parents=True)
    grey, _ = tissue((3, 64, 96), seed=5)
    write_tiff(inbox / "first.tif", grey)
    for number, plane in enumerate(grey):
        write_tiff(inbox / "Second.volume" / f"{number}.tif", plane)
    files.put(inbox, "/data/inbox")

    look(lab, cron)
    made = segmentations(lab)
    assert len(made) == 2
    for name in made:
        wait_for(lambda name=name: phase(lab, name) in ENDED, f"the end of {name}", 600)
        assert phase(lab, name) == "Succeeded"
    runs = files.run("ls", "/data/segmented").decode().split()
    assert sorted(runs) == ["Second.volume", "first.tif"]
    for run in runs:
        assert files.run("ls", f"/data/segmented/{run}/volume.zarr/volume/labels/segmentation")

    look(lab, cron)
    assert segmentations(lab) == made


def look(lab: Lab, cron: Object) -> None:
    """Start the CronWorkflow's Workflow, as its schedule would, and wait for its end."""
    workflow = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"generateName": "look-"},
        "spec": cron["spec"]["workflowSpec"],
    }
    name = lab.kubectl("create", "--filename", "-", "--output", "jsonpath={.metadata.name}", stdin=json.dumps(workflow))
    wait_for(lambda: phase(lab, name) in ENDED, f"the end of {name}", 300)
    assert phase(lab, name) == "Succeeded", lab.get("workflow", name)["status"]["nodes"]


def phase(lab: Lab, name: str) -> str:
    return str(lab.get("workflow", name).get("status", {}).get("phase", ""))


def segmentations(lab: Lab) -> set[str]:
    """The Workflows that looks have made, by name."""
    made = (each["metadata"] for each in lab.get("workflows")["items"])
    return {each["name"] for each in made if each["name"].startswith("segment-")}
