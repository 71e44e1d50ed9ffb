"""Through Argo's server: its REST interface over urllib3.

Not through the argo-workflows client of PyPI: its newest release (6.7) is that of Argo 3.7, its models refuse what a
server of version 4 answers (`startedAt: null`, as in every workflow just made), it reads streams to their end before it
hands them out, and a TLS error breaks its own error handling.
Paths and options: https://argo-workflows.readthedocs.io/en/latest/swagger/.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import urllib3

from pipeline.argo.cluster.api import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    QUIET_SECONDS,
    connection_errors,
    objects,
    refused,
)
from pipeline.argo.yamlfile import Object
from pipeline.errors import ClusterError, InputError


class ServerWorkflows:
    """The workflows of one namespace; see `api.Workflows`."""

    def __init__(self, url: str, namespace: str, token: str = "", *, verify: bool = True) -> None:
        self.url, self.namespace = url, namespace
        self._headers = {"Accept": "application/json"}
        if token:
            self._headers["Authorization"] = token
        if not verify:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        # No retries here: what to try again is decided in `status.follow`.
        self._pool = urllib3.PoolManager(
            retries=False, maxsize=16, cert_reqs="CERT_REQUIRED" if verify else "CERT_NONE"
        )

    def create(self, workflow: Object) -> Object:
        return self._answer("submitting the workflow", "POST", "workflows", body={"workflow": workflow})

    def get(self, name: str) -> Object:
        return self._answer(f"workflow {name}", "GET", "workflows", name)

    def changes(self, name: str) -> Iterator[Object]:
        options = {"listOptions.fieldSelector": f"metadata.name={name}"}
        for event in self._stream(f"watching {name}", "workflow-events", options=options):
            if event.get("type") not in ("ADDED", "MODIFIED"):
                return
            yield event["object"]

    def template(self, name: str) -> Object:
        return self._answer(f"workflow template {name}", "GET", "workflow-templates", name)

    def template_names(self) -> list[str]:
        answer = self._answer("workflow templates", "GET", "workflow-templates")
        return sorted(item["metadata"]["name"] for item in answer.get("items") or [])

    def stop(self, name: str, *, terminate: bool) -> None:
        self._answer(f"stopping {name}", "PUT", "workflows", name, "terminate" if terminate else "stop", body={})

    def resume(self, workflow: Object) -> Object:
        """The server's retry: what succeeded stays, what failed runs again, under the same name."""
        name = workflow["metadata"]["name"]
        return self._answer(f"resuming {name}", "PUT", "workflows", name, "retry", body={})

    def log(self, workflow: str, pod: str, *, follow: bool, last: int | None, seconds: int | None) -> Iterator[str]:
        options: Object = {"podName": pod, "logOptions.container": "main", "logOptions.timestamps": "true"}
        options |= {"logOptions.follow": "true"} if follow else {}
        options |= {} if last is None else {"logOptions.tailLines": last}
        options |= {} if seconds is None else {"logOptions.sinceSeconds": seconds}
        for entry in self._stream(f"log of {pod}", "workflows", workflow, "log", options=options):
            yield entry.get("content", "")

    def close(self) -> None:
        self._pool.clear()

    def _answer(self, what: str, method: str, *path: str, body: Object | None = None) -> Object:
        full_body = None if body is None else {"namespace": self.namespace, **body}
        with connection_errors(what):
            answer = self._pool.request(
                method,
                self._url(*path),
                headers=self._headers,
                json=full_body,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS),
            )
        if not 200 <= answer.status < 300:
            raise refused(what, answer.status, answer.data, answer.reason)
        try:
            content: Object = json.loads(answer.data)
        except ValueError as error:
            raise InputError(f"{what}: {self.url} is not Argo's server; check ARGO_SERVER, ARGO_BASE_HREF") from error
        return content

    def _stream(self, what: str, *path: str, options: Object) -> Iterator[Object]:
        """The results of a stream of JSON lines; a failure in mid-stream comes as such a line."""
        with connection_errors(what):
            answer = self._pool.request(
                "GET",
                self._url(*path),
                fields=options,
                headers=self._headers,
                preload_content=False,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=QUIET_SECONDS),
            )
            try:
                if not 200 <= answer.status < 300:
                    raise refused(what, answer.status, answer.data, answer.reason)
                for content in objects(answer, what):
                    if "error" in content:
                        raise ClusterError(f"{what}: {content['error'].get('message')}")
                    yield content.get("result") or {}
            finally:
                answer.close()

    def _url(self, resource: str, *below: str) -> str:
        return "/".join([self.url, "api/v1", resource, *(quote(part, safe="") for part in (self.namespace, *below))])
