"""Accounts and Roles: the least that Argo's executor and a submitting pod need, and tokens only where they are used."""

from __future__ import annotations

import re

import pytest
from charts_support import WORKFLOWS, Manifest, needs_helm, pick, render

pytestmark = needs_helm


def grants(role: Manifest) -> set[tuple[str, str]]:
    """What a Role allows, as pairs of resource and verb."""
    return {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}


def test_the_executor_may_report_outputs_and_nothing_else() -> None:
    role = pick(render(), "Role", "vemseg-workflow")
    assert grants(role) == {("workflowtaskresults", "create"), ("workflowtaskresults", "patch")}


def test_whoever_submits_may_follow_workflows_but_not_read_secrets_nor_make_pods() -> None:
    allowed = grants(pick(render(), "Role", "vemseg-web"))
    assert {("workflows", "create"), ("workflows", "watch"), ("pods/log", "get")} <= allowed
    assert not {resource for resource, _ in allowed} & {"secrets", "pods/exec", "*"}
    assert {verb for resource, verb in allowed if resource == "pods"} <= {"get", "list", "watch"}


def test_no_account_has_its_token_mounted_unasked() -> None:
    accounts = [each for each in render() if each["kind"] == "ServiceAccount"]
    assert {each["metadata"]["name"] for each in accounts} == {"vemseg-workflow", "vemseg-fanout", "vemseg-web"}
    assert all(each["automountServiceAccountToken"] is False for each in accounts)


@pytest.mark.parametrize("account", ["vemseg-workflow", "vemseg-fanout"])
def test_argos_own_container_finds_its_token_under_the_accounts_name(account: str) -> None:
    secret = pick(render(), "Secret", f"{account}.service-account-token")
    assert secret["type"] == "kubernetes.io/service-account-token"
    assert secret["metadata"]["annotations"]["kubernetes.io/service-account.name"] == account


def test_the_pod_of_a_wide_fan_out_may_make_workflows_and_nothing_else() -> None:
    role = pick(render(), "Role", "vemseg-fanout")
    assert grants(role) == {("workflows", "create"), ("workflows", "get"), ("workflows", "patch")}


def test_every_account_that_a_workflow_names_is_made() -> None:
    accounts = {each["metadata"]["name"] for each in render() if each["kind"] == "ServiceAccount"}
    for path in WORKFLOWS:
        assert set(re.findall(r"serviceAccountName: ([\w-]+)", path.read_text())) <= accounts


def test_roles_can_be_left_to_an_administrator() -> None:
    assert not {each["kind"] for each in render("--set", "rbac.create=false")} & {"Role", "RoleBinding"}


def test_pull_secrets_go_to_the_accounts_that_pods_run_as() -> None:
    account = pick(render("--set", "serviceAccounts.imagePullSecrets={registry}"), "ServiceAccount", "vemseg-workflow")
    assert account["imagePullSecrets"] == [{"name": "registry"}]
