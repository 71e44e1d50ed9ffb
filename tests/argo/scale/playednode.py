"""A node with no machine behind it: pods that land there are said to have run, and succeeded, as soon as they are seen.

The API server, the scheduler, Argo's controller and all their objects are real; only the kubelet's and the executor's
reports are played. A thousand pods, which would take a small machine an hour, so take a minute.
"""

from __future__ import annotations

import json
import secrets
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from kubernetes import client

RESOURCE = "example.com/played"  # pods that ask for it can run nowhere else
_TAINT = {"key": RESOURCE, "value": "true", "effect": "NoSchedule"}
TOLERATION = {"key": RESOURCE, "operator": "Exists"}
GPU_LABEL = "example.com/played-node"  # "true", as on nodes with GPUs: what asks for none of them stays off
_CAPACITY = {"cpu": "100k", "memory": "100Ti", "pods": "100k", RESOURCE: "100k"}
_READY = {"type": "Ready", "status": "True", "reason": "Played", "message": "no machine"}
_PERIOD_SECONDS = 0.5
_HEARTBEAT_SECONDS = 8.0  # after 40 without one, a node counts as lost


class PlayedNode:
    """Use it as a context manager; it plays the pods of one namespace. `ended` counts them."""

    def __init__(self, namespace: str) -> None:
        self.namespace, self.name = namespace, f"played-{secrets.token_hex(3)}"
        self.ended = 0
        self._core, self._custom = client.CoreV1Api(), client.CustomObjectsApi()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._beat), threading.Thread(target=self._play)]

    def __enter__(self) -> PlayedNode:
        labels = {"kubernetes.io/os": "linux", "kubernetes.io/hostname": self.name, GPU_LABEL: "true"}
        self._core.create_node({"metadata": {"name": self.name, "labels": labels}, "spec": {"taints": [_TAINT]}})
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._core.delete_node(self.name)

    def _beat(self) -> None:
        while True:
            condition = {**_READY, "lastHeartbeatTime": _now(), "lastTransitionTime": _now()}
            status = {"capacity": _CAPACITY, "allocatable": _CAPACITY, "conditions": [condition]}
            self._core.patch_node_status(self.name, {"status": status})
            if self._stop.wait(_HEARTBEAT_SECONDS):
                return

    def _play(self) -> None:
        while not self._stop.wait(_PERIOD_SECONDS):
            selector = f"spec.nodeName={self.name},status.phase=Pending"
            answer = self._core.list_namespaced_pod(self.namespace, field_selector=selector, _preload_content=False)
            for pod in json.loads(answer.data)["items"]:
                self._report(pod)
                self._end(pod)
                self.ended += 1

    def _report(self, pod: dict[str, Any]) -> None:
        """What Argo's container would report: that there are no outputs."""
        labels = {
            "workflows.argoproj.io/workflow": pod["metadata"]["labels"]["workflows.argoproj.io/workflow"],
            "workflows.argoproj.io/report-outputs-completed": "true",
        }
        result = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "WorkflowTaskResult",
            "metadata": {
                "name": pod["metadata"]["annotations"]["workflows.argoproj.io/node-id"],
                "labels": labels,
                "ownerReferences": pod["metadata"]["ownerReferences"],
            },
            "outputs": {},
        }
        self._custom.create_namespaced_custom_object(
            "argoproj.io", "v1alpha1", self.namespace, "workflowtaskresults", result
        )

    def _end(self, pod: dict[str, Any]) -> None:
        """What the kubelet would report: that all containers ended well."""
        ended = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": _now(), "finishedAt": _now()}}
        spec = pod["spec"]
        status = {
            "phase": "Succeeded",
            "initContainerStatuses": [_container(each, ended) for each in spec.get("initContainers", [])],
            "containerStatuses": [_container(each, ended) for each in spec["containers"]],
        }
        self._core.patch_namespaced_pod_status(pod["metadata"]["name"], self.namespace, {"status": status})


def _container(spec: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    played = {"name": spec["name"], "image": spec["image"], "imageID": "", "ready": False, "restartCount": 0}
    return {**played, "state": state}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
