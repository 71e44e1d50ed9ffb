"""Each account of the chart against every verb and kind that a real cluster knows: what it may do, and nothing else.

The API server itself is asked (SubjectAccessReview), for the account's own namespace, for another one, and for objects
that have none.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import NamedTuple

import pytest
import yaml
from charts_support import needs_helm, needs_kubectl, render, succeed
from kubernetes import client, config

pytestmark = [
    needs_helm,
    needs_kubectl,
    pytest.mark.cluster,
    pytest.mark.timeout(900),
    pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="needs a cluster: KUBECONFIG is not set"),
]

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
FURTHER = {  # verbs that only these kinds have
    "roles.rbac.authorization.k8s.io": ("bind", "escalate"),
    "clusterroles.rbac.authorization.k8s.io": ("bind", "escalate"),
    "serviceaccounts": ("impersonate",),
    "users": ("impersonate",),
    "groups": ("impersonate",),
}
ARGO = "argoproj.io"
WORKFLOWS, TEMPLATES = f"workflows.{ARGO}", f"workflowtemplates.{ARGO}"
MAY = {
    "vemseg-workflow": {(f"workflowtaskresults.{ARGO}", verb) for verb in ("create", "patch")},
    "vemseg-fanout": {(WORKFLOWS, verb) for verb in ("create", "get", "patch")},
    "vemseg-web": {
        *((WORKFLOWS, verb) for verb in ("create", "get", "list", "watch", "patch")),
        *((TEMPLATES, verb) for verb in ("get", "list")),
        *(("pods", verb) for verb in ("get", "list", "watch")),
        ("pods/log", "get"),
        ("persistentvolumeclaims", "get"),
    },
}
# What Kubernetes lets everyone ask about themselves.
EVERYONE = {
    ("selfsubjectaccessreviews.authorization.k8s.io", "create"),
    ("selfsubjectrulesreviews.authorization.k8s.io", "create"),
    ("selfsubjectreviews.authentication.k8s.io", "create"),
}


class Request(NamedTuple):
    """What an account asks for; a kind is `resource[/subresource][.group]`."""

    kind: str
    verb: str
    namespace: str
    name: str = ""


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """A namespace with the chart's accounts and roles."""
    config.load_kube_config()
    name = f"vemseg-rights-{secrets.token_hex(3)}"
    succeed("kubectl", "create", "namespace", name)
    try:
        accounts = [each for each in render() if each["kind"] in ("ServiceAccount", "Role", "RoleBinding")]
        for each in accounts:
            each["metadata"]["namespace"] = name
            for subject in each.get("subjects", ()):
                subject["namespace"] = name
        succeed("kubectl", "create", "-f", "-", stdin=yaml.safe_dump_all(accounts))
        yield name
    finally:
        succeed("kubectl", "delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def kinds() -> list[str]:
    """Every kind of the cluster, subresources included."""
    versions = [
        version["groupVersion"]
        for group in json.loads(succeed("kubectl", "get", "--raw", "/apis"))["groups"]
        for version in group["versions"]
    ]
    found = []
    for path in ("/api/v1", *(f"/apis/{version}" for version in versions)):
        listed = json.loads(succeed("kubectl", "get", "--raw", path))
        group = listed["groupVersion"].rpartition("/")[0]
        found += [each["name"] + (group and f".{group}") for each in listed["resources"]]
    return sorted({*found, "users", "groups"})


def _allowed(account: str, home: str, request: Request) -> bool:
    """The API server's answer."""
    path, _, group = request.kind.partition(".")
    resource, _, subresource = path.partition("/")
    attributes = client.V1ResourceAttributes(
        group=group,
        resource=resource,
        subresource=subresource or None,
        verb=request.verb,
        namespace=request.namespace,
        name=request.name or None,
    )
    user, groups = f"system:serviceaccount:{home}:{account}", ["system:serviceaccounts", "system:authenticated"]
    spec = client.V1SubjectAccessReviewSpec(
        user=user, groups=[*groups, f"system:serviceaccounts:{home}"], resource_attributes=attributes
    )
    body = client.V1SubjectAccessReview(spec=spec)
    return bool(client.AuthorizationV1Api().create_subject_access_review(body).status.allowed)


def _granted(account: str, home: str, requests: list[Request]) -> set[Request]:
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda request: _allowed(account, home, request), requests)
        return {request for request, answer in zip(requests, answers, strict=True) if answer}


@pytest.mark.parametrize("account", sorted(MAY))
def test_an_account_may_do_in_its_namespace_what_it_needs_and_nothing_else(
    account: str, namespace: str, kinds: list[str]
) -> None:
    asked = [Request(kind, verb, namespace) for kind in kinds for verb in (*VERBS, *FURTHER.get(kind, ()))]
    assert {WORKFLOWS, TEMPLATES, "pods/exec", "secrets", "nodes"} <= set(kinds)
    granted = {(request.kind, request.verb) for request in _granted(account, namespace, asked)}
    assert granted - EVERYONE == MAY[account]


@pytest.mark.parametrize("account", sorted(MAY))
def test_an_account_may_do_nothing_elsewhere(account: str, namespace: str, kinds: list[str]) -> None:
    places = ("kube-system", "")  # no namespace: all of them, or an object that has none
    asked = [Request(kind, verb, place) for kind, verb, place in product(kinds, VERBS, places)]
    granted = {(request.kind, request.verb) for request in _granted(account, namespace, asked)}
    assert granted <= EVERYONE


def test_the_application_reads_one_config_map_and_no_secret(namespace: str) -> None:
    names = ("vemseg-parameters", "vemseg-gpus", "kube-root-ca.crt", "vemseg-s3", "vemseg-web")
    asked = [
        Request(kind, verb, namespace, name) for kind, verb, name in product(("configmaps", "secrets"), VERBS, names)
    ]
    assert _granted("vemseg-web", namespace, asked) == {Request("configmaps", "get", namespace, "vemseg-parameters")}
