"""Which cluster, which namespace, and by which way: read from the environment as Argo's own command line does.

ARGO_SERVER                  host:port of Argo's server; without it the Kubernetes API is used
ARGO_TOKEN                   "Bearer ..." for the server
ARGO_SECURE                  whether the server speaks TLS (default true)
ARGO_INSECURE_SKIP_VERIFY    whether to believe any certificate (default false)
ARGO_BASE_HREF               path below which the server answers (default /)
ARGO_NAMESPACE               namespace; default: that of the kubeconfig's context
KUBECONFIG                   for the Kubernetes API; else ~/.kube/config, else the pod's own account
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.argo.cluster.api import Workflows
from pipeline.errors import InputError

if TYPE_CHECKING:
    from pipeline.argo.cluster.kube import Cluster

_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false", "")


@dataclass(frozen=True)
class ServerAddress:
    """Where Argo's server is and how to speak to it."""

    url: str
    token: str
    verify: bool

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> ServerAddress | None:
        """The server that the environment names; `None` where it names none."""
        host = environment.get("ARGO_SERVER", "")
        if not host:
            return None
        if "://" in host:
            raise InputError(f"ARGO_SERVER={host}: write host:port; ARGO_SECURE=false stands for http")
        scheme = "https" if _flag(environment, "ARGO_SECURE", "true") else "http"
        base = environment.get("ARGO_BASE_HREF", "").strip("/")
        verify = not _flag(environment, "ARGO_INSECURE_SKIP_VERIFY", "false")
        return cls(f"{scheme}://{host}{'/' * bool(base)}{base}", environment.get("ARGO_TOKEN", ""), verify)


def connect(environment: Mapping[str, str], namespace: str | None = None) -> Workflows:
    """The workflows of a namespace, through Argo's server where ARGO_SERVER is set, else through the Kubernetes API.

    Raises `InputError` where the environment names no cluster or the clients are not installed.
    """
    address = ServerAddress.of(environment)
    if address is None:
        return kubernetes(environment, namespace)
    try:
        from pipeline.argo.cluster.server import ServerWorkflows
    except ImportError as error:
        raise _not_installed(error) from error
    namespace = namespace or environment.get("ARGO_NAMESPACE") or _namespace_of_the_context()
    return ServerWorkflows(address.url, namespace, address.token, verify=address.verify)


def kubernetes(environment: Mapping[str, str], namespace: str | None = None) -> Cluster:
    """The namespace through the Kubernetes API."""
    try:
        from pipeline.argo.cluster.kube import Cluster, client_from_environment
    except ImportError as error:
        raise _not_installed(error) from error
    client = client_from_environment()
    return Cluster(client, namespace or environment.get("ARGO_NAMESPACE") or _namespace_of_the_context())


def _namespace_of_the_context() -> str:
    """The namespace of the kubeconfig's current context, else of the pod that this runs in."""
    try:
        from kubernetes import config

        context = config.list_kube_config_contexts()[1]["context"]
        return str(context.get("namespace") or "default")
    except Exception:  # no kubeconfig, or one without contexts: the client's errors have no common base
        return _ACCOUNT_NAMESPACE.read_text().strip() if _ACCOUNT_NAMESPACE.exists() else "default"


def _flag(environment: Mapping[str, str], name: str, default: str) -> bool:
    text = environment.get(name, default).strip().lower()
    if text not in (*_TRUE, *_FALSE):
        raise InputError(f"{name}={environment[name]}: write true or false")
    return text in _TRUE


def _not_installed(error: ImportError) -> InputError:
    return InputError(f"{error}: a cluster needs two more packages; pip install 'vemseg[cluster]'")
