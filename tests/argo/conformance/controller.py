"""Giving many small workflows to a real controller, a few at a time, and reading back what became of them."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kubernetes import client, config

_GROUP, _VERSION, _KIND = "argoproj.io", "v1alpha1", "workflows"
_ENDED = ("Succeeded", "Failed", "Error")
_AT_ONCE = 8  # more do not end sooner on two cores, and a cluster that is flooded with pods answers nobody
_PATIENCE_SECONDS = 1000.0  # below the limit of the test
_EXECUTOR = {"apiGroups": [_GROUP], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]}


class Namespace:
    """A namespace whose service account `workflow` may do what Argo's executor needs, and nothing else."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._core, self._workflows = client.CoreV1Api(), client.CustomObjectsApi()

    def config_maps(self, values: Mapping[str, str]) -> None:
        """Make the ConfigMaps that hold these values, which go by `name/key`."""
        maps: dict[str, dict[str, str]] = defaultdict(dict)
        for path, value in values.items():
            name, _, key = path.partition("/")
            maps[name][key] = value
        for name, data in maps.items():
            labels = {"workflows.argoproj.io/configmap-type": "Parameter"}
            body = {"metadata": {"name": name, "labels": labels}, "data": data}
            self._core.create_namespaced_config_map(self.name, body)

    def run(self, workflows: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """Run workflow files (by name) to their end and return them as the controller leaves them.

        `kubectl create` reads them, as it does for a user; a file that it refuses is left out.
        """
        waiting, running, ended = list(reversed(workflows)), set[str](), dict[str, dict[str, Any]]()
        refused = set[str]()
        end = time.monotonic() + _PATIENCE_SECONDS
        while len(ended) + len(refused) < len(workflows):
            assert time.monotonic() < end, f"still running: {sorted(running)}"
            while waiting and len(running) < _AT_ONCE:
                name = waiting.pop()
                (running if self._create(workflows[name]) else refused).add(name)
            time.sleep(1)
            for name in sorted(running):
                seen = self._workflows.get_namespaced_custom_object(_GROUP, _VERSION, self.name, _KIND, name)
                if seen.get("status", {}).get("phase") in _ENDED:
                    ended[name] = seen
                    running.remove(name)
        return ended

    def _create(self, text: str) -> bool:
        """Whether the cluster takes a file."""
        words = ["kubectl", "create", "--namespace", self.name, "--filename", "-"]
        done = subprocess.run(words, input=text, text=True, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0 or "invalid" in done.stderr.lower(), done.stderr
        return done.returncode == 0


@contextmanager
def own_namespace() -> Iterator[Namespace]:
    """A namespace that is gone afterwards."""
    config.load_kube_config()
    core, rights = client.CoreV1Api(), client.RbacAuthorizationV1Api()
    name = f"conformance-{secrets.token_hex(3)}"
    core.create_namespace({"metadata": {"name": name}})
    try:
        core.create_namespaced_service_account(name, {"metadata": {"name": "workflow"}})
        rights.create_namespaced_role(name, {"metadata": {"name": "workflow"}, "rules": [_EXECUTOR]})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "workflow"}
        subjects = [{"kind": "ServiceAccount", "name": "workflow", "namespace": name}]
        binding = {"metadata": {"name": "workflow"}, "roleRef": role, "subjects": subjects}
        rights.create_namespaced_role_binding(name, binding)
        yield Namespace(name)
    finally:
        core.delete_namespace(name)
