"""Fetching a run's results into a local folder: straight from a bucket, or off a volume claim through a pod.

A claim can be read only by a pod that mounts it. A small one is made for the time of the transfer, restricted as the
steps are and with the claim read-only; files come as tar streams through its standard output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pipeline.argo import resolution
from pipeline.argo.cluster.api import NotFoundError, Workflows
from pipeline.argo.cluster.claimpod import ClaimPlace, ClaimPod
from pipeline.argo.cluster.receiving import Bucket, Received, receive
from pipeline.argo.resolution import claims, template_pods
from pipeline.argo.yamlfile import Object
from pipeline.errors import InputError

if TYPE_CHECKING:
    from pipeline.argo.cluster.kube import Cluster

SMALL = ("evaluation", "models")  # what a person wants to look at first
# By which it can be told whether that came whole.
_MARKERS = tuple(
    f"done/{step}" for step in ("train", "boost/train", "evaluate", "compare", "finish", "render", "report")
)
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
    """Fetch evaluation/ and models/ of a run, with the markers of the steps that made them, or all of it.

    `what` is the name of a workflow, or a run URL: ``s3://...``, or a path as the pods see it. The ways to the cluster
    are asked for only where they are needed. Raises `InputError` for a run that is not there, `StorageError` or
    `ClusterError` when files stop coming; the same call later goes on.
    """
    folders = () if everything else (*SMALL, *_MARKERS)
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
        given = resolution.parameter_values(workflow["spec"], {}, {})
    sources = resolution.config_maps(spec)
    maps = cluster().config_map_values(sources) if sources else {}
    values = resolution.parameter_values(spec, given, maps)
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
