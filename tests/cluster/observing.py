"""A workflow in the cluster, as its own object and its pods tell about it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from lab import Lab, Object

ENDED = ("Succeeded", "Failed", "Error")


class Workflow:
    """A Workflow made of one of the installed templates."""

    def __init__(self, lab: Lab, template: str, **parameters: str) -> None:
        """Submit it with kubectl; underscores in the names of parameters stand for dashes."""
        given = [{"name": name.replace("_", "-"), "value": value} for name, value in parameters.items()]
        made = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Workflow",
            "metadata": {"generateName": f"{template}-"},
            "spec": {"workflowTemplateRef": {"name": template}, "arguments": {"parameters": given}},
        }
        self.lab = lab
        words = ("create", "--filename", "-", "--output", "jsonpath={.metadata.name}")
        self.name = lab.kubectl(*words, stdin=json.dumps(made))

    @property
    def object(self) -> Object:
        """The Workflow object of this moment."""
        return self.lab.get("workflow", self.name)

    @property
    def status(self) -> Object:
        """Its status; empty before the controller has seen it."""
        status: Object = self.object.get("status", {})
        return status

    def nodes(self) -> dict[str, Object]:
        """The nodes by their names, which begin with `.` in place of the workflow's name."""
        nodes = self.status.get("nodes", {}).values()
        return {node["name"].removeprefix(self.name) or ".": node for node in nodes}

    def tries(self, node: str) -> list[Object]:
        """The pods that a node was tried in, in order."""
        found = [each for name, each in self.nodes().items() if name.startswith(f"{node}(") and each["type"] == "Pod"]
        return sorted(found, key=lambda each: int(each["name"].rpartition("(")[2].rstrip(")")))

    def pod(self, node: str, seconds: float = 300) -> str:
        """The pod of a node that runs, waited for."""

        def running() -> str:
            found = [each for each in self._pods() if _node_of(each).startswith(f"{self.name}{node}(")]
            return next((each["metadata"]["name"] for each in found if each["status"]["phase"] == "Running"), "")

        return wait_for(running, f"a running pod of {node}", seconds)

    def wait(self, seconds: float = 900) -> Object:
        """Wait for its end; returns the status."""
        wait_for(lambda: self.status.get("phase") in ENDED, f"the end of {self.name}", seconds)
        return self.status

    def log(self, pod: str) -> str:
        """What the main container of a pod has printed."""
        return self.lab.kubectl("logs", pod, "--container", "main")

    def wait_for_log(self, pod: str, text: str, seconds: float = 300) -> str:
        """Wait until a pod has printed a text; returns its log."""
        return wait_for(lambda: log if text in (log := self.log(pod)) else "", f"{text!r} in the log of {pod}", seconds)

    def _pods(self) -> Iterable[Object]:
        pods: Iterable[Object] = self.lab.get("pods", "--selector", f"workflows.argoproj.io/workflow={self.name}")[
            "items"
        ]
        return pods


def wait_for(condition: Callable[[], Any], what: str, seconds: float) -> Any:
    """What the condition returns once that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.5)
    raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")


def seconds_between(node: Object) -> tuple[float, float]:
    """When a node of a Workflow started and finished, in seconds since 1970."""
    started, finished = (datetime.fromisoformat(node[key]).timestamp() for key in ("startedAt", "finishedAt"))
    return started, finished


def most_at_once(intervals: Iterable[tuple[float, float]]) -> int:
    """How many intervals overlap at most; one that begins as another ends does not overlap it."""
    changes = [(at, change) for started, ended in intervals for at, change in ((started, 1), (ended, -1))]
    now, most = 0, 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


def phases(nodes: Mapping[str, Object]) -> dict[str, tuple[str, str]]:
    """Type and phase of each node."""
    return {name: (node["type"], node["phase"]) for name, node in nodes.items()}


def _node_of(pod: Object) -> str:
    return str(pod["metadata"]["annotations"]["workflows.argoproj.io/node-name"])
