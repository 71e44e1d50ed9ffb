"""Every rule of a site is broken by some manifest and named for it, and the same manifest without the flaw passes.

A case is a right manifest and the one change that breaks it: what `check` finds must be that rule and no other. The
project's own workflows are right. Kubernetes' own verdict on the restricted level is asked for where there is a cluster
(`test_restricted_as_kubernetes_has_it`).
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.argo.sites import Finding, check_manifests, load_site, read_manifests, site_names
from pipeline.argo.sites.manifests import quantity
from pipeline.argo.sites.rules import parsed_site
from pipeline.errors import InputError

REPOSITORY = Path(__file__).parents[3]
Object = dict[str, Any]
Change = Callable[[Object], object]

CONTAINER = {
    "name": "main",
    "image": "localhost/busybox:1",
    "command": ["true"],
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
}
OFF_GPU_NODES = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {
                    "matchExpressions": [
                        {"key": "feature.node.kubernetes.io/pci-10de.present", "operator": "NotIn", "values": ["true"]}
                    ]
                }
            ]
        }
    }
}
POD = {
    "restartPolicy": "Never",
    "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
    "affinity": OFF_GPU_NODES,
    "containers": [CONTAINER],
}
PATCH = """
containers:
- {name: wait, resources: &small {requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 100m, memory: 64Mi}},
   securityContext: &no {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}
initContainers: [{name: init, securityContext: *no}]
"""


def _object(kind: str, spec: Object, api: str = "v1") -> Object:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "it"}, "spec": spec}


def _pod() -> Object:
    return _object("Pod", copy.deepcopy(POD))


def _job() -> Object:
    return _object("Job", {"template": {"spec": copy.deepcopy(POD)}}, "batch/v1")


def _deployment() -> Object:
    return _object("Deployment", {"template": {"spec": copy.deepcopy(POD)}}, "apps/v1")


def _workflow() -> Object:
    """A loop whose resources come from a parameter, through a patch."""
    template = {"name": "work", "container": copy.deepcopy(CONTAINER), "podSpecPatch": ""}
    template["container"].pop("resources")
    template["podSpecPatch"] = """
        containers:
        - name: main
          resources:
            requests: &all {cpu: "{{workflow.parameters.cpu}}", memory: 1Gi,
                            "{{workflow.parameters.kind}}": "{{workflow.parameters.gpus}}"}
            limits: *all
        """
    main = {"name": "main", "dag": {"tasks": [{"name": "a", "template": "work", "withItems": [1, 2]}]}}
    parameters = [{"name": n, "value": v} for n, v in (("cpu", "1"), ("gpus", "0"), ("kind", "nvidia.com/gpu"))]
    spec = {
        "entrypoint": "main",
        "arguments": {"parameters": parameters},
        "securityContext": POD["securityContext"],
        "affinity": OFF_GPU_NODES,
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "it"}}],
        "podSpecPatch": PATCH,
        "templates": [main, template],
    }
    return _object("Workflow", copy.deepcopy(spec), "argoproj.io/v1alpha1")


def _claim() -> Object:
    return _object("PersistentVolumeClaim", {"accessModes": ["ReadWriteMany"], "storageClassName": "rook-cephfs"})


def _ingress() -> Object:
    spec = {
        "ingressClassName": "haproxy",
        "rules": [{"host": "vemseg.nrp-nautilus.io"}],
        "tls": [{"hosts": ["vemseg.nrp-nautilus.io"]}],
    }
    return _object("Ingress", spec, "networking.k8s.io/v1")


def _set(path: str, value: Any) -> Change:
    """Set a field; numbers in the path are places in lists."""

    def change(item: Object) -> None:
        *parents, last = path.split(".")
        holder: Any = item
        for name in parents:
            holder = holder[int(name)] if isinstance(holder, list) else holder.setdefault(name, {})
        holder[last] = value

    return change


def _in_pod(path: str, value: Any) -> Change:
    return _set(f"spec.{path}", value)


def _in_main(path: str, value: Any) -> Change:
    return _set(f"spec.containers.0.{path}", value)


def _in_made(path: str, value: Any) -> Change:
    return _set(f"spec.template.spec.{path}", value)


def _parameter(index: int, value: str) -> Change:
    return _set(f"spec.arguments.parameters.{index}.value", value)


def _in_made_main(path: str, value: Any) -> Change:
    return _in_made(f"containers.0.{path}", value)


RESTRICTED: list[tuple[str, Callable[[], Object], Change]] = [
    ("host-network", _pod, _in_pod("hostNetwork", True)),
    ("host-pid", _pod, _in_pod("hostPID", True)),
    ("host-ipc", _pod, _in_pod("hostIPC", True)),
    ("volume-types", _pod, _in_pod("volumes", [{"name": "v", "hostPath": {"path": "/"}}])),
    ("sysctls", _pod, _in_pod("securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}])),
    ("privilege-escalation", _pod, _in_main("securityContext.allowPrivilegeEscalation", True)),
    ("capabilities-drop", _pod, _in_main("securityContext.capabilities", {})),
    ("capabilities-add", _pod, _in_main("securityContext.capabilities.add", ["SYS_ADMIN"])),
    ("run-as-non-root", _pod, _in_pod("securityContext.runAsNonRoot", None)),
    ("run-as-user", _pod, _in_main("securityContext.runAsUser", 0)),
    ("seccomp", _pod, _in_pod("securityContext.seccompProfile", {"type": "Unconfined"})),
    ("apparmor", _pod, _in_main("securityContext.appArmorProfile", {"type": "Unconfined"})),
    ("selinux-type", _pod, _in_main("securityContext.seLinuxOptions", {"type": "spc_t"})),
    ("proc-mount", _pod, _in_main("securityContext.procMount", "Unmasked")),
    ("host-port", _pod, _in_main("ports", [{"containerPort": 80, "hostPort": 80}])),
]
GENERIC: list[tuple[str, Callable[[], Object], Change]] = [
    ("image-tag", _job, _in_made_main("image", "vemseg-worker")),
    ("image-tag", _deployment, _in_made_main("image", "registry:5000/vemseg-web:latest")),
    ("requests-set", _deployment, _in_made_main("resources.requests", {})),
    ("limits-set", _job, _in_made_main("resources.limits", {"cpu": "1"})),
    ("namespaced-only", _claim, _set("kind", "ClusterRole")),
]
NRP: list[tuple[str, Callable[[], Object], Change]] = [
    ("cpu-limit-near-request", _job, _in_made_main("resources.limits.cpu", "1300m")),
    ("memory-limit-near-request", _job, _in_made_main("resources.limits.memory", "2G")),
    ("cpu-limits-set", _deployment, _in_made_main("resources.limits", {"memory": "1Gi"})),
    ("no-sleep", _job, _in_made_main("command", ["sh", "-c", "work; sleep infinity"])),
    ("no-sleep", _workflow, _set("spec.templates.1.container.args", ["&&", "sleep", "60"])),
    ("no-gpu-in-deployment", _deployment, _in_made_main("resources.limits", {**CONTAINER["resources"]["limits"], "nvidia.com/gpu": "1"})),  # type: ignore[dict-item, index]  # noqa: E501
    ("gpus-a-pod", _workflow, _parameter(1, "9")),
    ("cpu-steps-off-gpu-nodes", _job, _in_made("affinity", {})),
    ("cpu-steps-off-gpu-nodes", _workflow, _set("spec.affinity", {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [*OFF_GPU_NODES["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"], {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]}}})),  # noqa: E501
    ("priority-class", _job, _in_made("priorityClassName", "system-node-critical")),
    ("priority-class", _workflow, _set("spec.podPriorityClassName", "high")),
    ("tolerations", _workflow, _set("spec.tolerations", [{"operator": "Exists"}])),
    ("bare-pod-memory", _pod, _in_main("resources", {"requests": {"cpu": "1", "memory": "33G"}, "limits": {"cpu": "1", "memory": "33G"}})),  # noqa: E501
    ("bare-pod-cpu", _pod, _in_main("resources", {"requests": {"cpu": "17", "memory": "1G"}, "limits": {"cpu": "17", "memory": "1G"}})),  # noqa: E501
    ("bare-pod-gpus", _pod, _in_main("resources.limits", {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": 3})),
    ("storage-class", _claim, _set("spec.storageClassName", "gp3")),
    ("block-storage-is-rwo", _claim, _set("spec.storageClassName", "rook-ceph-block-east")),
    ("ingress-class", _ingress, _set("spec.ingressClassName", "nginx")),
    ("ingress-host", _ingress, _set("spec.rules", [{"host": "vemseg.example.org"}])),
    ("ingress-tls-secret", _ingress, _set("spec.tls", [{"secretName": "mine"}])),
]  # fmt: skip


def _check(site: str, *objects: Object) -> list[Finding]:
    return check_manifests(read_manifests({"f.yaml": yaml.safe_dump_all(objects)}), load_site(site))


def _ids(case: Any) -> str | None:
    return case if isinstance(case, str) else getattr(case, "__name__", None) and case.__name__.strip("_")


@pytest.mark.parametrize(
    ("site", "rule", "right", "change"),
    [("restricted", *case) for case in RESTRICTED]
    + [("generic", *case) for case in GENERIC]
    + [("nrp", *case) for case in NRP],
    ids=_ids,
)
def test_a_broken_rule_is_named(site: str, rule: str, right: Callable[[], Object], change: Change) -> None:
    assert _check(site, right()) == []
    broken = right()
    change(broken)
    findings = _check(site, broken)
    assert {finding.rule for finding in findings} == {rule}
    assert all(finding.file == "f.yaml" and finding.path and finding.cure for finding in findings)
    assert findings[0].object == f"{broken['kind']}/it"


def test_every_rule_has_a_manifest_that_breaks_it() -> None:
    broken = {rule for rule, _right, _change in (*RESTRICTED, *GENERIC, *NRP)}
    rules = {rule.name for name in site_names() for rule in load_site(name).rules}
    # These have tests of their own below; Kubernetes refuses `privileged` beside a forbidden escalation by itself.
    assert rules - broken == {"rwo-fan-out", "gpu-resource", "privileged"}


def test_privileged_containers_are_named() -> None:
    pod = _pod()
    _in_main("securityContext.privileged", True)(pod)
    assert [finding.rule for finding in _check("restricted", pod)] == ["privileged"]


def test_resources_are_judged_with_the_parameters_filled_in() -> None:
    workflow = _workflow()
    _parameter(2, "nvidia.com/rtx-of-mine")(workflow)
    assert _check("nrp", workflow) == []  # none is asked for
    findings = check_manifests(read_manifests({"f": yaml.safe_dump(workflow)}), load_site("nrp"), {"gpus": "1"})
    assert {(f.rule, f.path) for f in findings} == {("gpu-resource", "spec.templates[1] (work).facts.gpu-resources[0]")}


def test_parameters_come_from_a_config_map_among_the_objects() -> None:
    workflow, settings = _workflow(), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}
    reference = {"configMapKeyRef": {"name": "m", "key": "gpus"}, "default": "0"}
    workflow["spec"]["arguments"]["parameters"][1] = {"name": "gpus", "valueFrom": reference}
    assert _check("nrp", workflow) == []
    assert [f.rule for f in _check("nrp", {**settings, "data": {"gpus": "12"}}, workflow)] == ["gpus-a-pod"]


def test_a_claim_of_one_node_is_refused_to_a_loop_that_is_not_pinned() -> None:
    workflow, claim = _workflow(), _claim()
    assert _check("generic", workflow, claim) == []
    claim["spec"] = {"accessModes": ["ReadWriteOnce"], "storageClassName": "rook-ceph-block"}
    assert {f.rule for f in _check("nrp", workflow, claim)} == {"rwo-fan-out"}
    pinned = copy.deepcopy(workflow)
    pinned["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "one"}
    assert _check("nrp", pinned, claim) == []
    del workflow["spec"]["templates"][0]["dag"]["tasks"][0]["withItems"]
    assert _check("nrp", workflow, claim) == []


def test_argos_own_containers_are_judged_too() -> None:
    workflow = _workflow()
    del workflow["spec"]["podSpecPatch"]
    paths = {f.path for f in _check("restricted", workflow) if f.rule == "capabilities-drop"}
    where = "spec.templates[1] (work)"
    ends = "securityContext.capabilities.drop"
    assert paths == {f"{where}.containers[wait].{ends}", f"{where}.initContainers[init].{ends}"}


def test_what_a_workflow_creates_is_judged_too() -> None:
    job = _job()
    _in_made_main("command", ["sleep", "9"])(job)
    workflow = _workflow()
    workflow["spec"]["templates"].append(
        {"name": "make", "resource": {"action": "create", "manifest": json.dumps(job)}}
    )
    assert [(f.rule, f.path.split(":")[0]) for f in _check("nrp", workflow)] == [
        ("no-sleep", "spec.templates[2].resource.manifest")
    ]


def test_cron_workflows_and_lists_are_taken_apart() -> None:
    inner = _workflow()["spec"]
    cron = _object("CronWorkflow", {"schedules": ["* * * * *"], "workflowSpec": inner}, "argoproj.io/v1alpha1")
    cron["spec"]["workflowSpec"]["tolerations"] = [{"operator": "Exists"}]
    everything = {"apiVersion": "v1", "kind": "List", "items": [_pod(), cron]}
    assert [f.rule for f in _check("nrp", everything)] == ["tolerations"]


@pytest.mark.parametrize(
    "text",
    ["a: [", "just text", "kind: Workflow\nspec: {templates: [{name: a, container: {}, podSpecPatch: '['}]}\n---\n- 1"],
)
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"f\.yaml"):
        check_manifests(read_manifests({"f.yaml": text}), load_site("nrp"))


def test_a_misspelt_rule_is_refused() -> None:
    rule = {"name": "r", "about": "pod", "field": "a", "must": {"be": [1]}, "cure": "c"}
    site = {"name": "s", "title": "t", "source": "u"}
    assert len(parsed_site({**site, "rules": [rule]}).rules) == 1
    for wrong in ({**rule, "must": {"bee": 1}}, {**rule, "abuot": "pod"}, {**rule, "about": "node"}):
        with pytest.raises(InputError, match="rule r"):
            parsed_site({**site, "rules": [wrong]})
    with pytest.raises(InputError, match="there are"):
        load_site("elsewhere")


@pytest.mark.parametrize("gpus", ["0", "1"])
@pytest.mark.parametrize("site", site_names())
def test_the_projects_workflows_break_no_rule(site: str, gpus: str) -> None:
    texts = {str(path): path.read_text() for path in sorted((REPOSITORY / "workflows").rglob("*.yaml"))}
    assert texts
    assert check_manifests(read_manifests(texts), load_site(site), {"gpus": gpus}) == []


def test_the_command_ends_with_2_and_reads_standard_input() -> None:
    broken = _job()
    _in_made("priorityClassName", "high")(broken)
    for text, code, word in ((_job(), 0, "none"), (broken, 2, "[priority-class]")):
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", "check", "--site", "nrp", "-"],
            input=yaml.safe_dump(text),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, word in done.stdout) == (code, True), done.stderr


@pytest.mark.skipif("KUBECONFIG" not in os.environ or shutil.which("kubectl") is None, reason="KUBECONFIG is not set")
def test_restricted_as_kubernetes_has_it() -> None:
    """The API server's own admission agrees on each of the broken pods, and on the right one."""
    namespace = f"vemseg-sites-{os.getpid()}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
    _kubectl(space, "create")
    try:
        assert _kubectl(_pod(), "create", "--dry-run=server", "-n", namespace).returncode == 0
        for rule, right, change in RESTRICTED:
            broken = right()
            change(broken)
            refused = _kubectl(broken, "create", "--dry-run=server", "-n", namespace)
            # Kubernetes asks `procMount` for a user namespace before it comes to pod security.
            why = "hostUsers" if rule == "proc-mount" else "PodSecurity"
            assert why in refused.stderr, f"{rule}: {refused.stdout}{refused.stderr}"
    finally:
        subprocess.run(["kubectl", "delete", "namespace", namespace, "--wait=false"], check=True, capture_output=True)


def _kubectl(item: Object, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["kubectl", *words, "-f", "-"]
    return subprocess.run(command, input=json.dumps(item), capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        *(("1", 1.0), ("0.5", 0.5), (".5", 0.5), ("+1", 1.0), ("100m", 0.1), ("1k", 1e3), ("2M", 2e6), ("1Ki", 1024.0)),
        *(("512Mi", 2.0**29), ("1e3", 1e3), ("1E3", 1e3), ("1E", 1e18), ("1.5e-3", 1.5e-3), (2, 2.0)),
        *((text, None) for text in ("1K", "512mi", "1ki", "1.2.3", "", "Gi", "{{inputs.parameters.memory}}")),
    ],
)
def test_quantities_are_those_of_kubernetes(written: object, number: float | None) -> None:
    """The grammar is that of the API's reference of resource quantities."""
    assert quantity(written) == (None if number is None else pytest.approx(number))
