"""Through Argo's server, with the argo-workflows client.

The client's models are those of Argo 3.7 and refuse what a server of version 4 answers (`startedAt: null` of a workflow
just made is one such thing), so requests go through the client and answers are read as plain JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import argo_workflows
import urllib3
from argo_workflows.api.workflow_service_api import WorkflowServiceApi
from argo_workflows.api.workflow_template_service_api import WorkflowTemplateServiceApi

from pipeline.errors import ClusterError
from pipeline.workflow.cluster.api import ANSWER_SECONDS, CONNECT_SECONDS, QUIET_SECONDS, objects, translated
from pipeline.workflow.cluster.connection import ServerAddress
from pipeline.workflow.pods import Object


class ServerWorkflows:
    """The workflows of one namespace; see `api.Workflows`."""

    def __init__(self, address: ServerAddress, namespace: str) -> None:
        self.address, self.namespace = address, namespace
        configuration = argo_workflows.Configuration(host=address.url)
        configuration.verify_ssl = address.verify
        configuration.retries = False  # what to try again is decided in `follow`
        if not address.verify:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        client = argo_workflows.ApiClient(configuration)
        if address.token:
            client.set_default_header("Authorization", address.token)
        self._workflows, self._templates = WorkflowServiceApi(client), WorkflowTemplateServiceApi(client)

    def create(self, workflow: Object) -> Object:
        body = {"namespace": self.namespace, "workflow": workflow}
        return self._answer("submitting the workflow", self._workflows.create_workflow, body)

    def get(self, name: str) -> Object:
        return self._answer(f"workflow {name}", self._workflows.get_workflow, name)

    def changes(self, name: str, version: str) -> Iterator[Object]:
        options = {"list_options_field_selector": f"metadata.name={name}", "list_options_resource_version": version}
        for event in self._stream(f"watching {name}", self._workflows.watch_workflows, **options):
            if event.get("type") not in ("ADDED", "MODIFIED"):
                return
            yield event["object"]

    def template(self, name: str) -> Object:
        return self._answer(f"workflow template {name}", self._templates.get_workflow_template, name)

    def template_names(self) -> list[str]:
        answer = self._answer("workflow templates", self._templates.list_workflow_templates)
        return sorted(item["metadata"]["name"] for item in answer.get("items") or [])

    def stop(self, name: str, *, terminate: bool) -> None:
        request = self._workflows.terminate_workflow if terminate else self._workflows.stop_workflow
        self._answer(f"stopping {name}", request, name, {"name": name, "namespace": self.namespace})

    def resume(self, workflow: Object) -> Object:
        """The server's retry: what succeeded stays, what failed runs again, under the same name."""
        name = workflow["metadata"]["name"]
        body = {"name": name, "namespace": self.namespace}
        return self._answer(f"resuming {name}", self._workflows.retry_workflow, name, body)

    def log(self, workflow: str, pod: str, *, follow: bool, last: int | None, seconds: int | None) -> Iterator[str]:
        options: Object = {"pod_name": pod, "log_options_container": "main", "log_options_timestamps": True}
        options |= {"log_options_follow": follow}
        options |= {} if last is None else {"log_options_tail_lines": str(last)}
        options |= {} if seconds is None else {"log_options_since_seconds": str(seconds)}
        for entry in self._stream(f"log of {pod}", self._workflows.workflow_logs, workflow, **options):
            yield entry.get("content", "")

    def _answer(self, what: str, request: Callable[..., Any], *arguments: Any) -> Object:
        with translated(what, argo_workflows.ApiException):
            answer = request(self.namespace, *arguments, **_plain(ANSWER_SECONDS))
            content: Object = json.loads(answer.data)
        return content

    def _stream(self, what: str, request: Callable[..., Any], *arguments: Any, **options: Any) -> Iterator[Object]:
        """The results of a stream of JSON lines; a failure in mid-stream comes as such a line."""
        with translated(what, argo_workflows.ApiException):
            answer = request(self.namespace, *arguments, **options, **_plain(QUIET_SECONDS))
            try:
                for content in objects(answer, what):
                    if "error" in content:
                        raise ClusterError(f"{what}: {content['error'].get('message')}")
                    yield content.get("result") or {}
            finally:
                answer.close()


def _plain(read_seconds: float) -> Object:
    """Options of a request that keep the client's models out of it."""
    return {
        "_check_input_type": False,
        "_preload_content": False,
        "_request_timeout": (CONNECT_SECONDS, read_seconds),
    }
