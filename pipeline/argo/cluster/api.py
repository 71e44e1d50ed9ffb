"""What can be asked of a cluster, whichever way leads to it, and how its answers become our errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from pipeline.argo.yamlfile import Object
from pipeline.errors import ClusterError, InputError, VemsegError

GROUP, VERSION = "argoproj.io", "v1alpha1"
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
QUIET_SECONDS = 60.0  # a stream that says nothing for so long may be dead: it is opened anew

_NEVER_SECURE = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER")  # TLS errors that do not pass

_NO_ARGO = (
    "the cluster does not know Argo Workflows (its CRDs, such as workflows.argoproj.io, are missing); ask its "
    "administrator to install Argo Workflows 4: https://argo-workflows.readthedocs.io/en/latest/installation/"
)


class NotFoundError(InputError):
    """The cluster has no object of this name."""


class Workflows(Protocol):
    """The workflows of one namespace.

    Objects are mappings of JSON. Every method raises `NotFoundError`, `InputError` for what the cluster refuses, and
    `ClusterError` where it does not answer.
    """

    namespace: str

    def create(self, workflow: Object) -> Object:
        """Submit a Workflow; returns it with the name that it got."""

    def get(self, name: str) -> Object:
        """One Workflow, with all its nodes."""

    def changes(self, name: str) -> Iterator[Object]:
        """The Workflow as it is and at each change; ends when the cluster ends the stream."""

    def template(self, name: str) -> Object:
        """One WorkflowTemplate."""

    def template_names(self) -> list[str]:
        """The names of all WorkflowTemplates."""

    def stop(self, name: str, *, terminate: bool) -> None:
        """End a Workflow; `terminate` leaves out its exit handler."""

    def resume(self, workflow: Object) -> Object:
        """Let a Workflow that failed go on; returns the one that does, which may have another name."""

    def log(self, workflow: str, pod: str, *, follow: bool, last: int | None, seconds: int | None) -> Iterator[str]:
        """What the main container of a pod printed: a line each, with its time in front.

        `follow` goes on until the pod ends; `last` lines at most; of the last `seconds` only.
        """

    def close(self) -> None:
        """Close the connections that are kept open for the next request."""


@contextmanager
def connection_errors(what: str) -> Iterator[None]:
    """Turn the errors of a connection into ours."""
    from urllib3.exceptions import HTTPError

    try:
        yield
    except VemsegError:
        raise
    except HTTPError as error:
        if any(reason in str(error) for reason in _NEVER_SECURE):
            raise InputError(f"{what}: {error}; is it https at all (ARGO_SECURE), is its certificate known?") from error
        raise ClusterError(f"{what}: the cluster does not answer ({error})") from error
    except OSError as error:
        raise ClusterError(f"{what}: the connection to the cluster broke ({error})") from error


def refused(what: str, status: int, body: bytes | str | None, reason: str | None) -> VemsegError:
    """The error for an answer that is none: `status` and `reason` are HTTP's, `body` mostly says more."""
    message, details = _said(body or b"", reason or "")
    if status == 404 and not details and "page not found" in message:
        return InputError(_NO_ARGO)
    if status == 404:
        return NotFoundError(f"{what}: {message}")
    if status == 401:
        return InputError(f"{what}: the cluster does not know you (401: {message}); renew ARGO_TOKEN or KUBECONFIG")
    if status == 403:
        return InputError(f"{what}: the cluster does not allow it: {message}; ask for a Role that does")
    if any(permanent in message for permanent in _NEVER_SECURE):
        return InputError(f"{what}: {message}; is the cluster's certificate known?")
    if status in (0, 429) or status >= 500:
        return ClusterError(f"{what}: the cluster failed ({status} {message})")
    return InputError(f"{what}: {message}")


def lines(response: Any) -> Iterator[str]:
    """The lines of a streamed answer, each as soon as it is complete."""
    rest = b""
    for chunk in response.stream():
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode("utf-8", errors="replace") for line in whole)
    if rest:
        yield rest.decode("utf-8", errors="replace")


def objects(response: Any, what: str) -> Iterator[Object]:
    """The JSON objects of a streamed answer, one a line."""
    for line in lines(response):
        try:
            content = json.loads(line)
        except ValueError as error:
            raise ClusterError(f"{what}: the answer broke off") from error
        yield content


def _said(body: bytes | str, reason: str) -> tuple[str, Any]:
    """The message of an answer, and what kind of object it speaks of (neither is there for a plain page)."""
    text = body.decode("utf-8", errors="replace") if isinstance(body, bytes) else body
    try:
        answer = json.loads(text)
        answer = answer.get("error", answer)  # as Argo's server says it of a stream
        return str(answer.get("message") or reason), answer.get("details")
    except (ValueError, AttributeError):
        return text.strip() or reason, None
