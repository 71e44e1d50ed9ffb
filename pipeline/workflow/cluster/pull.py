"""Fetching a run's results into a local folder: straight from a bucket, or off a volume claim through a pod.

A claim can be read only by a pod that mounts it. A small one is made for the time of the transfer, restricted as the
steps are and with the claim read-only; files come as tar streams through its standard output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pipeline.errors import InputError
from pipeline.workflow.cluster.api import NotFoundError, Workflows
from pipeline.workflow.cluster.bucket import Bucket
from pipeline.workflow.cluster.claimpod import ClaimPlace, ClaimPod
from pipeline.workflow.cluster.receiving import Received, receive
from pipeline.workflow.pods import Object, claims, parameter_values, template_pods

if TYPE_CHECKING:
    from pipeline.workflow.cluster.kube import Cluster

SMALL = ("evaluation", "models")  # what a person wants to look at first
_TEMPLATE = "vemseg-study"  # tells claim and image where no workflow does


def pull(
    what: str,
    destination: Path,
    *,
    everything: bool,
    workflows: Callable[[], Workflows],
    cluster: Callable[[], Cluster],
    report: Callable[[str, int, int], None],
) -> Received:
    """Fetch evaluation/ and models/ of a run, or all of it, into `destination`.

    `what` is the name of a workflow, or a run URL: ``s3://...``, or a path as the pods see it. The ways to the cluster
    are asked for only where they are needed. Raises `InputError` for a run that is not there, `StorageError` or
    `ClusterError` when files stop coming; the same call later goes on.
    """
    folders = () if everything else SMALL
    if what.startswith("s3://"):
        return _received(receive(Bucket(what), folders, destination, report), what)
    place, run_url = _find(what, workflows(), cluster)
    if place is None:
        return _received(receive(Bucket(run_url), folders, destination, report), run_url)
    with ClaimPod(cluster(), place) as pod:
        return _received(receive(pod, folders, destination, report), run_url)


def _received(received: Received, run_url: str) -> Received:
    if received.files + received.there_already == 0:
        raise InputError(f"{run_url} holds no results yet (evaluation/, models/); --all fetches whatever is there")
    return received


def _find(what: str, workflows: Workflows, cluster: Callable[[], Cluster]) -> tuple[ClaimPlace | None, str]:
    """Where the run of a workflow, or a run at a path, is; no place where it is in a bucket."""
    if what.startswith("/"):
        spec, given = _template_spec(workflows), {"run": what}
    else:
        workflow = workflows.get(what)
        spec = (workflow.get("status") or {}).get("storedWorkflowTemplateSpec") or workflow["spec"]
        given = parameter_values(workflow["spec"], {}, {})
    values = parameter_values(spec, given, _maps(spec, cluster))
    run_url = values.get("run", "")
    if not run_url:
        raise InputError(f"{what} has no parameter 'run' that would say where its results are")
    return (None if "://" in run_url else claim_place(spec, values, run_url)), run_url


def claim_place(spec: Object, values: Mapping[str, str], path: str) -> ClaimPlace:
    """The claim below which the workflow's pods see `path`."""
    for pod in template_pods(spec, values):
        volumes = {
            v["name"]: v["persistentVolumeClaim"]["claimName"] for v in pod.spec["volumes"] if claims({"volumes": [v]})
        }
        for container in pod.spec["containers"]:
            for mount in container.get("volumeMounts") or []:
                inside = PurePosixPath(path).is_relative_to(mount["mountPath"])
                if inside and mount["name"] in volumes:
                    return ClaimPlace(volumes[mount["name"]], mount["mountPath"], path, container["image"], pod.spec)
    raise InputError(f"{path} is on no volume claim that the pods of the workflow mount; name the run as they see it")


def _template_spec(workflows: Workflows) -> Object:
    try:
        spec: Object = workflows.template(_TEMPLATE)["spec"]
    except NotFoundError as error:
        raise InputError(f"{error}; name a workflow instead of a path, so that its claim is known") from error
    return spec


def _maps(spec: Object, cluster: Callable[[], Cluster]) -> dict[str, dict[str, str]]:
    parameters = (spec.get("arguments") or {}).get("parameters") or []
    sources = ((p.get("valueFrom") or {}).get("configMapKeyRef") or {} for p in parameters)
    names = {source["name"] for source in sources if "name" in source}
    return {name: cluster().config_map(name) for name in names}
