"""Chart and overlays in a real cluster, installed by someone who has rights in one restricted namespace only.

Needs KUBECONFIG; makes namespaces of its own and deletes them. What the installed workflows do is for tests/cluster.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from charts_support import (
    CHART,
    REPOSITORY,
    SITES,
    WORKFLOWS,
    command,
    kustomized,
    manifests,
    needs_helm,
    needs_kubectl,
    site_values,
    succeed,
)

pytestmark = [
    needs_helm,
    needs_kubectl,
    pytest.mark.cluster,
    pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="needs a cluster: KUBECONFIG is not set"),
]
RIGHTS = yaml.safe_load((REPOSITORY / "k8s/admin/rights.yaml").read_text())["rules"]
SMALL_CLAIM = ("--set", "storage.claim.size=1Gi", "--set", "storage.claim.storageClassName=shared")
BLOCK_CLAIM = ("--set", "storage.claim.size=1Gi", "--set", "storage.mode=rwo", "--set", "storage.node=node1")


class Lab:
    """A namespace, and a user who is its admin, may make workflows in it, and has no right anywhere else."""

    def __init__(self, workflows: bool = True) -> None:
        self.namespace = f"vemseg-chart-{uuid.uuid4().hex[:8]}"
        self.user = f"{self.namespace}-user"
        restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.create("v1", "Namespace", self.namespace, labels=restricted)
        self.bind("ClusterRole", "admin")
        if workflows:
            self.create("rbac.authorization.k8s.io/v1", "Role", "argo", rules=RIGHTS)
            self.bind("Role", "argo")

    def create(self, api: str, kind: str, name: str, labels: dict[str, str] | None = None, **fields: object) -> None:
        """Make an object as the cluster's administrator."""
        namespace = {} if kind == "Namespace" else {"namespace": self.namespace}
        each = {
            "apiVersion": api,
            "kind": kind,
            "metadata": {"name": name, "labels": labels or {}, **namespace},
            **fields,
        }
        succeed("kubectl", "create", "-f", "-", stdin=yaml.safe_dump(each))

    def bind(self, kind: str, role: str) -> None:
        """Give the user a role in the namespace, as the cluster's administrator."""
        group = "rbac.authorization.k8s.io"
        self.create(
            f"{group}/v1",
            "RoleBinding",
            role,
            roleRef={"apiGroup": group, "kind": kind, "name": role},
            subjects=[{"apiGroup": group, "kind": "User", "name": self.user}],
        )

    def helm(self, *words: str | Path) -> list[str | Path]:
        """A helm command of the user's."""
        return ["helm", *words, "--kube-as-user", self.user, "--namespace", self.namespace]

    def kubectl(self, *words: str) -> str:
        """The output of a kubectl command of the user's."""
        return succeed("kubectl", "--as", self.user, "--namespace", self.namespace, *words)

    def names(self, kind: str) -> set[str]:
        """The objects of a kind in the namespace."""
        return {line.partition("/")[2] for line in self.kubectl("get", kind, "--output", "name").split()}

    def remove(self) -> None:
        command("kubectl", "delete", "namespace", self.namespace, "--wait=false")


@pytest.fixture
def lab() -> Iterator[Callable[..., Lab]]:
    """Make namespaces, which are deleted in the end."""
    made: list[Lab] = []

    def make(**options: bool) -> Lab:
        made.append(Lab(**options))
        return made[-1]

    yield make
    for each in made:
        each.remove()


def test_an_upgrade_and_an_uninstall_leave_the_claim_and_its_volume(lab: Callable[..., Lab]) -> None:
    mine = lab()
    volume = ("get", "pvc", "vemseg-data", "--output", "jsonpath={.spec.volumeName}")

    succeed(*mine.helm("install", "vemseg", CHART, *SMALL_CLAIM))
    mine.kubectl("wait", "pvc/vemseg-data", "--for", "jsonpath={.status.phase}=Bound", "--timeout", "60s")
    first = mine.kubectl(*volume)
    token = ("get", "secret", "vemseg-workflow.service-account-token", "--output", "jsonpath={.data.token}")
    assert mine.kubectl(*token)

    succeed(*mine.helm("upgrade", "vemseg", CHART, *SMALL_CLAIM, "--set", "gpuSlots=2", "--set", "parameters.gpus=1"))
    assert mine.kubectl("get", "configmap", "vemseg-gpus", "--output", "jsonpath={.data.slots}") == "2"
    assert mine.kubectl(*volume) == first
    assert mine.kubectl(*token)  # the cluster filled it in, the upgrade did not empty it

    succeed(*mine.helm("uninstall", "vemseg"))
    assert mine.names("workflowtemplates") == set()
    assert mine.names("serviceaccounts") == {"default"}
    assert mine.kubectl(*volume) == first

    succeed(*mine.helm("install", "vemseg", CHART, *SMALL_CLAIM))  # takes over the claim that it left
    assert mine.kubectl(*volume) == first


def test_two_labs_have_a_release_each_and_one_namespace_takes_one(lab: Callable[..., Lab]) -> None:
    for each in (lab(), lab()):
        succeed(*each.helm("install", "vemseg", CHART, *SMALL_CLAIM))
        assert each.names("workflowtemplates") == {yaml.safe_load(w.read_text())["metadata"]["name"] for w in WORKFLOWS}
    second = command(*each.helm("install", "again", CHART, *SMALL_CLAIM))
    assert second.returncode != 0
    assert "vemseg" in second.stderr


def test_who_may_not_grant_leaves_the_roles_to_the_administrator(lab: Callable[..., Lab]) -> None:
    """One grants only what one holds; without rights on Argo's kinds the API server names what is missing."""
    mine = lab(workflows=False)
    refused = command(*mine.helm("install", "vemseg", CHART, *SMALL_CLAIM))
    assert refused.returncode != 0
    assert "workflowtaskresults" in refused.stderr or "workflowtemplates" in refused.stderr


@pytest.mark.parametrize("storage", [SMALL_CLAIM, BLOCK_CLAIM, ("--set", "storage.mode=s3")], ids=["rwx", "rwo", "s3"])
def test_helm_test_runs_a_step_and_leaves_nothing_behind(storage: tuple[str, ...], lab: Callable[..., Lab]) -> None:
    mine = with_image(lab)
    succeed(*mine.helm("install", "vemseg", CHART, *storage))
    for _ in range(2):  # the second finds the capture that the first one made
        succeed(*mine.helm("test", "vemseg", "--timeout", "4m"))
        assert mine.names("pods") == mine.names("workflows") == set()


def test_helm_test_says_why_a_step_cannot_report(lab: Callable[..., Lab]) -> None:
    mine = with_image(lab)
    succeed(*mine.helm("install", "vemseg", CHART, *SMALL_CLAIM))
    mine.kubectl("delete", "rolebinding", "vemseg-workflow")
    assert command(*mine.helm("test", "vemseg", "--timeout", "4m")).returncode != 0
    assert "workflowtaskresults" in mine.kubectl("logs", "vemseg-test")


def with_image(lab: Callable[..., Lab]) -> Lab:
    """A lab, where a node has the image of the steps."""
    images = succeed("kubectl", "get", "nodes", "--output", "jsonpath={.items[*].status.images[*].names}")
    if "vemseg-worker:0.1.0" not in images:
        pytest.skip("no node has the image vemseg-worker:0.1.0: make images")
    return lab()


def test_a_claim_of_one_node_is_refused_where_pods_are_spread(lab: Callable[..., Lab]) -> None:
    mine = lab()
    block = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    mine.create("v1", "PersistentVolumeClaim", "brains", spec=block)
    mine_is_there = ("--set", "storage.claim.create=false", "--set", "parameters.claim=brains")
    refused = command(*mine.helm("install", "vemseg", CHART, *mine_is_there))
    assert "ReadWriteOnce" in refused.stderr
    assert "storage.node=" in refused.stderr

    pinned = ("--set", "storage.mode=rwo", "--set", "storage.node=node1")
    succeed(*mine.helm("install", "vemseg", CHART, *mine_is_there, *pinned))


def test_a_claim_that_is_there_is_not_changed_into_another(lab: Callable[..., Lab]) -> None:
    mine = lab()
    succeed(*mine.helm("install", "vemseg", CHART, *SMALL_CLAIM))
    pinned = ("--set", "storage.mode=rwo", "--set", "storage.node=node1")
    refused = command(*mine.helm("upgrade", "vemseg", CHART, *SMALL_CLAIM, *pinned))
    assert "storage.claim.create=false" in refused.stderr
    succeed(*mine.helm("upgrade", "vemseg", CHART, *SMALL_CLAIM, *pinned, "--set", "storage.claim.create=false"))
    assert mine.names("pvc") == {"vemseg-data"}


def test_a_claim_that_is_not_there_is_missed_at_once(lab: Callable[..., Lab]) -> None:
    mine = lab()
    refused = command(*mine.helm("install", "vemseg", CHART, "--set", "storage.claim.create=false"))
    assert "vemseg-data" in refused.stderr
    assert "storage.claim.create" in refused.stderr


@pytest.mark.parametrize("site", SITES)
def test_the_values_of_a_site_install_what_its_overlay_applies(site: str, lab: Callable[..., Lab]) -> None:
    """The API server takes both from the same user. (Claims of classes that this cluster lacks stay pending.)"""
    chart, overlay = lab(), lab()
    succeed(*chart.helm("install", "vemseg", CHART, "--values", site_values(site)))
    objects = manifests(kustomized(f"overlays/{site}"))
    here = yaml.safe_dump_all(objects).replace("namespace: vemseg\n", f"namespace: {overlay.namespace}\n")
    succeed("kubectl", "--as", overlay.user, "apply", "--filename", "-", stdin=here)
    for kind in (
        "workflowtemplates",
        "serviceaccounts",
        "roles",
        "rolebindings",
        "networkpolicies",
        "configmaps",
        "pvc",
    ):
        assert overlay.names(kind) == chart.names(kind)
