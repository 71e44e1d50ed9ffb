"""Whatever goes wrong in a cluster, a study ends as if nothing had, or stops and says why; nothing is done twice.

Each fault is real: pods are deleted, or killed for memory, the controller's process is killed, a file system is full.
The judge is the same study on a laptop that nobody disturbed, file by file.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from captures import write_slow
from lab import Files, Lab, Laptop
from machine import restart_controller, small_claim
from observing import Object, Workflow, wait_for
from prometheus_client.parser import text_string_to_metric_families
from test_e2e_study import OF_ITS_OWN
from tinystudy import files as contents

pytestmark = pytest.mark.timeout(1800)
TRAIN, INFER = ".target(0:multilabel).train", ".target(0:multilabel).infer(0:0)"


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory, files: Files) -> Path:
    folder = write_slow(tmp_path_factory.mktemp("faults") / "slow")
    files.put(folder, "/data/slow")
    return folder


@pytest.fixture(scope="module")
def poor(lab: Lab, capture: Path) -> Workflow:
    """A study whose training has too little memory."""
    return study(lab, "poor", train_memory="160Mi")


@pytest.fixture(scope="module")
def undisturbed(poor: Workflow, capture: Path, laptop: Laptop) -> dict[str, bytes]:
    """What the study leaves on a laptop, made while the cluster has a study that needs nobody."""
    run = capture.with_name("in-peace")
    laptop("study", config=capture / "study.yaml", run=run)
    return contents(run, without=OF_ITS_OWN)


class Disturbed:
    """A study whose training and one of whose inference pods are deleted, and whose controller is killed between."""

    def __init__(self, lab: Lab, files: Files) -> None:
        self.workflow = study(lab, "disturbed")
        training = self.workflow.pod(TRAIN)
        self.workflow.wait_for_log(training, "/300 steps")
        self.scraped = scrape(lab, training)
        lab.kubectl("delete", "pod", training, "--wait=false")

        wait_for(lambda: len(self.workflow.tries(TRAIN)) == 2, "a second try of the training", 120)
        self.workflow.wait_for_log(self.workflow.pod(TRAIN), "goes on at step")
        restart_controller()

        inference = self.workflow.pod(INFER)
        self.workflow.wait_for_log(inference, "/15 shards")
        self.done_before = files.changed("/data/runs/disturbed/done")
        lab.kubectl("delete", "pod", inference, "--wait=false")
        self.status = self.workflow.wait()
        self.done_after = files.changed("/data/runs/disturbed/done")
        self.nodes = self.workflow.nodes()


@pytest.fixture(scope="module")
def disturbed(lab: Lab, files: Files, capture: Path) -> Disturbed:
    return Disturbed(lab, files)


def test_a_disturbed_study_ends_with_the_files_of_one_in_peace(
    undisturbed: dict[str, bytes], disturbed: Disturbed, files: Files, tmp_path: Path
) -> None:
    assert disturbed.status["phase"] == "Succeeded"
    assert differences(files.get("/data/runs/disturbed", tmp_path), undisturbed) == []


def test_a_training_deleted_in_mid_epoch_goes_on_where_it_was(disturbed: Disturbed, files: Files) -> None:
    assert was_asked_to_stop_once(disturbed.workflow, TRAIN)
    told = events(files, "/data/runs/disturbed", "train-multilabel")
    assert [event["event"] for event in told if event["event"] in ("started", "resumed")] == [
        "started",
        "started",
        "resumed",
    ]
    stopped = next(event["error"] for event in told if event["event"] == "ended")
    step = next(event["at_step"] for event in told if event["event"] == "resumed")
    assert 0 < step < 300
    assert f"step {step} of 300" in stopped


def test_prometheus_finds_at_the_pods_port_how_far_a_training_is(disturbed: Disturbed) -> None:
    families = {each.name: each.samples for each in text_string_to_metric_families(disturbed.scraped)}
    assert [sample.value for sample in families["vemseg_step_running"]] == [1]
    assert {sample.labels["target"] for sample in families["vemseg_voxels"]} == {"multilabel"}
    assert 0 < families["vemseg_progress_ratio"][0].value < 1
    assert {sample.labels["phase"] for sample in families["vemseg_phase_seconds"]} >= {"read", "compute"}


def test_an_inference_deleted_in_mid_shard_repeats_no_shard(disturbed: Disturbed, files: Files) -> None:
    assert was_asked_to_stop_once(disturbed.workflow, INFER)
    told = events(files, "/data/runs/disturbed", "infer-multilabel-0")
    found = [(event["shards"], event["done"]) for event in told if event["event"] == "found"]
    assert found[0] == (15, 0)
    assert found[1][0] == 15
    assert 0 < found[1][1] < 15
    shards = {name for name in disturbed.done_before if "/infer/" in name}
    assert shards
    assert {name: disturbed.done_after[name] for name in disturbed.done_before} == disturbed.done_before


def test_a_killed_controller_repeats_no_step(disturbed: Disturbed) -> None:
    """All but the two steps whose pods were deleted have been tried once."""
    retries = [node for node in disturbed.nodes if f"{node}(0)" in disturbed.nodes]
    tried = {node: len(disturbed.workflow.tries(node)) for node in retries}
    assert {node: count for node, count in tried.items() if count > 1} == {TRAIN: 2, INFER: 2}


def test_a_training_killed_for_memory_stops_the_study_and_says_so(
    lab: Lab, files: Files, poor: Workflow, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    """Not tried again with what was too little; with enough, the same run goes on."""
    assert poor.wait()["phase"] == "Failed"
    (only,) = poor.tries(TRAIN)
    assert "OOMKilled" in only["message"]
    assert "OOMKilled" in files.read("/data/runs/poor/summary.md")
    before = files.changed("/data/runs/poor/done")
    assert any("/augment/" in name for name in before)

    rich = study(lab, "poor")
    assert rich.wait()["phase"] == "Succeeded"
    after = files.changed("/data/runs/poor/done")
    assert {name: after[name] for name in before} == before
    assert differences(files.get("/data/runs/poor", tmp_path), undisturbed) == []


def test_a_study_goes_on_once_a_full_claim_has_room_again(
    lab: Lab, capture: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    with small_claim(lab, "small", 64):
        files = lab.open_files("small")
        files.put(capture, "/data/slow")
        workflow = study(lab, "full", claim="small")
        workflow.wait_for_log(workflow.pod(INFER), "/15 shards")
        files.run("sh", "-c", "cat /dev/zero > /data/ballast || true")
        before = files.changed("/data/runs/full/done")
        failed = wait_for(
            lambda: [t for t in workflow.tries(INFER) if t["phase"] == "Failed"], "a try without room", 180
        )
        assert failed[0]["outputs"]["exitCode"] == "74"
        assert "No space left" in failed[0]["message"]

        files.run("rm", "/data/ballast")
        assert workflow.wait()["phase"] == "Succeeded"
        after = files.changed("/data/runs/full/done")
        assert {name: after[name] for name in before} == before
        assert differences(files.get("/data/runs/full", tmp_path), undisturbed) == []
        lab.kubectl("delete", "pod", "files-small")
        lab.kubectl("delete", "workflow", workflow.name)


def test_a_wrong_configuration_fails_at_once(lab: Lab, files: Files, tmp_path: Path) -> None:
    folder = write_slow(tmp_path / "wrong", {"trainning": {"steps": 3}})
    files.put(folder, "/data/wrong")
    workflow = study(lab, "wrong", config="/data/wrong/study.yaml")
    assert workflow.wait(120)["phase"] == "Failed"
    (only,) = workflow.tries(".plan")
    assert only["outputs"]["exitCode"] == "2"
    assert "trainning" in only["message"]
    assert "trainning" in files.read("/data/runs/wrong/summary.md")


def study(lab: Lab, name: str, **parameters: str) -> Workflow:
    """Submit the slow study, with a run of this name, most of a core for what is alone in the cluster, and an inference
    that has time to be disturbed.
    """
    mine = {"config": "/data/slow/study.yaml", "run": f"/data/runs/{name}"}
    cores = {"train_cpu": "800m", "infer_cpu": "200m", "evaluate_cpu": "900m"}
    return Workflow(lab, "vemseg-study", **{**mine, **cores, **parameters})


def scrape(lab: Lab, pod: str) -> str:
    """What a pod tells at the port that its container calls `metrics`."""
    ports = [port for each in lab.get("pod", pod)["spec"]["containers"] for port in each.get("ports", [])]
    (port,) = [port["containerPort"] for port in ports if port["name"] == "metrics"]
    return lab.kubectl("get", "--raw", f"/api/v1/namespaces/{lab.namespace}/pods/{pod}:{port}/proxy/metrics")


def differences(run: Path, expected: dict[str, bytes]) -> list[str]:
    """The files of a run that are not as expected."""
    found = contents(run, without=OF_ITS_OWN)
    return sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))


def was_asked_to_stop_once(workflow: Workflow, node: str) -> bool:
    """Whether a node was tried twice, since its first pod was deleted.

    The pod ends with 75; a controller that looks only after it is gone says no more than `pod deleted`.
    """
    first, second = workflow.tries(node)
    told = first.get("outputs", {}).get("exitCode") == "75" or first["message"] == "pod deleted"
    return told and second["phase"] == "Succeeded"


def events(files: Files, run: str, step: str) -> list[Object]:
    """What a step has noted, in all its tries."""
    return [json.loads(line) for line in files.read(f"{run}/events/{step}.jsonl").splitlines()]
