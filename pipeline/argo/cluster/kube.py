"""Through the Kubernetes API: workflows, and what Argo's server does not show (claims, ConfigMaps, pods)."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import kubernetes
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from pipeline.argo.cluster.api import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    GROUP,
    QUIET_SECONDS,
    VERSION,
    NotFoundError,
    connection_errors,
    lines,
    objects,
    refused,
)
from pipeline.argo.yamlfile import Object
from pipeline.errors import InputError

_FROM_WORKFLOW = f"workflows.{GROUP}/resubmitted-from-workflow"


def client_from_environment() -> kubernetes.client.ApiClient:
    """A client for KUBECONFIG, ~/.kube/config or the pod's own account; `InputError` where there is none of them."""
    configuration = kubernetes.client.Configuration()
    has_file = os.environ.get("KUBECONFIG") or Path("~/.kube/config").expanduser().exists()
    try:
        if has_file:
            kubernetes.config.load_kube_config(client_configuration=configuration)
        else:
            kubernetes.config.load_incluster_config(client_configuration=configuration)
    except ConfigException as error:
        raise InputError(f"no cluster: {error}; set ARGO_SERVER, or KUBECONFIG to your cluster's file") from error
    configuration.retries = False  # what to try again is decided in `status.follow`
    return kubernetes.client.ApiClient(configuration)


class Cluster:
    """One namespace: its workflows (see `api.Workflows`), claims and pods."""

    def __init__(self, client: kubernetes.client.ApiClient, namespace: str) -> None:
        self.namespace = namespace
        self._objects = kubernetes.client.CustomObjectsApi(client)
        self.core = kubernetes.client.CoreV1Api(client)

    # Workflows

    def create(self, workflow: Object) -> Object:
        return self._custom("submitting the workflow", "create", "workflows", workflow)

    def get(self, name: str) -> Object:
        return _expanded(self._custom(f"workflow {name}", "get", "workflows", name))

    def changes(self, name: str) -> Iterator[Object]:
        what = f"watching {name}"
        with errors(what):
            answer = self._objects.list_namespaced_custom_object(
                *(GROUP, VERSION, self.namespace, "workflows"),
                watch=True,
                field_selector=f"metadata.name={name}",
                _preload_content=False,
                _request_timeout=(CONNECT_SECONDS, QUIET_SECONDS),
            )
            try:
                for event in objects(answer, what):
                    if event.get("type") not in ("ADDED", "MODIFIED"):
                        return
                    yield _expanded(event["object"])
            finally:
                answer.close()

    def template(self, name: str) -> Object:
        return self._custom(f"workflow template {name}", "get", "workflowtemplates", name)

    def template_names(self) -> list[str]:
        answer = self._custom("workflow templates", "list", "workflowtemplates")
        return sorted(item["metadata"]["name"] for item in answer["items"])

    def stop(self, name: str, *, terminate: bool) -> None:
        patch = {"spec": {"shutdown": "Terminate" if terminate else "Stop"}}
        self._custom(
            f"stopping {name}", "patch", "workflows", name, patch, _content_type="application/merge-patch+json"
        )

    def resume(self, workflow: Object) -> Object:
        """The same once more, as Argo resubmits: a new workflow, in which the steps skip what the run holds already.

        (What Argo calls a retry is work of its server; without it nobody may delete pods and rewrite a status.)
        """
        metadata = workflow["metadata"]
        spec = {key: value for key, value in workflow["spec"].items() if key not in ("shutdown", "suspend")}
        labels = {k: v for k, v in (metadata.get("labels") or {}).items() if GROUP not in k}
        again = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "Workflow",
            "metadata": {
                "generateName": metadata.get("generateName") or f"{metadata['name']}-",
                "labels": {**labels, _FROM_WORKFLOW: metadata["name"]},
            },
            "spec": spec,
        }
        return self.create(again)

    def log(self, workflow: str, pod: str, *, follow: bool, last: int | None, seconds: int | None) -> Iterator[str]:
        options: Object = {"container": "main", "follow": follow, "timestamps": True}
        options |= {} if last is None else {"tail_lines": last}
        options |= {} if seconds is None else {"since_seconds": seconds}
        timeout = (CONNECT_SECONDS, QUIET_SECONDS)
        with errors(f"log of {pod}"):
            try:
                answer = self.core.read_namespaced_pod_log(
                    pod, self.namespace, **options, _preload_content=False, _request_timeout=timeout
                )
            except ApiException as error:
                if error.status == 400:  # its containers have not started yet
                    return
                raise
            try:
                yield from lines(answer)
            finally:
                answer.close()

    def close(self) -> None:
        self.core.api_client.rest_client.pool_manager.clear()

    # What a workflow finds around it

    def access_modes(self, claim: str) -> list[str]:
        """How a volume claim may be mounted: ReadWriteMany, ReadWriteOnce, ..."""
        found = self.ask(f"volume claim {claim}", self.core.read_namespaced_persistent_volume_claim, claim)
        return list(found.status.access_modes or found.spec.access_modes)

    def config_map_values(self, names: Iterable[str]) -> dict[str, str]:
        """What these ConfigMaps hold, by `name/key`; nothing of one that is absent."""
        values: dict[str, str] = {}
        for name in names:
            with suppress(NotFoundError):
                data = self.ask(f"ConfigMap {name}", self.core.read_namespaced_config_map, name).data or {}
                values |= {f"{name}/{key}": value for key, value in data.items()}
        return values

    def has_one_node(self) -> bool:
        """Whether all pods share one node; not so where the nodes may not be looked at."""
        try:
            with errors("nodes"):
                return len(self.core.list_node(limit=2, _request_timeout=ANSWER_SECONDS).items) == 1
        except InputError:
            return False

    def ask(self, what: str, request: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a method of `core` for this namespace, with our errors."""
        options |= {"namespace": self.namespace, "_request_timeout": (CONNECT_SECONDS, ANSWER_SECONDS)}
        with errors(what):
            return request(*arguments, **options)

    def _custom(self, what: str, verb: str, plural: str, *arguments: Any, **options: Any) -> Object:
        request = getattr(self._objects, f"{verb}_namespaced_custom_object")
        timeout = (CONNECT_SECONDS, ANSWER_SECONDS)
        with errors(what):
            answer: Object = request(
                GROUP, VERSION, self.namespace, plural, *arguments, **options, _request_timeout=timeout
            )
        return answer


@contextmanager
def errors(what: str) -> Iterator[None]:
    try:
        with connection_errors(what):
            yield
    except ApiException as error:
        raise refused(what, error.status or 0, error.body, error.reason) from error
    except AttributeError as error:
        # The client fails on its own report of a broken TLS connection, which has no body to decode.
        if not isinstance(error.__context__, ApiException):
            raise
        raise refused(what, error.__context__.status or 0, None, error.__context__.reason) from error


def _expanded(workflow: Object) -> Object:
    """The workflow with its nodes in the open: Argo compresses them when they grow large."""
    status = workflow.get("status") or {}
    if status.get("compressedNodes"):
        status["nodes"] = json.loads(gzip.decompress(base64.b64decode(status["compressedNodes"])))
    elif status.get("offloadNodeStatusVersion"):
        raise InputError(
            f"{workflow['metadata']['name']}: Argo keeps its nodes in a database; set ARGO_SERVER to ask its server"
        )
    return workflow
