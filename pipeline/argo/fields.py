"""Every field of a workflow file, by kind of object: read, without meaning on one machine, or refused.

A field that stands nowhere here is a typing error and refused as such.
Source of the names: https://argo-workflows.readthedocs.io/en/latest/fields/
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.argo.yamlfile import Kind, kind

_POD_FIELDS = (
    "serviceAccountName automountServiceAccountToken executor nodeSelector affinity tolerations schedulerName "
    "hostAliases securityContext podSpecPatch metrics"
)
TOP = kind("a workflow", "apiVersion kind metadata spec", refused="status")
METADATA = kind("metadata", "name generateName", "namespace labels annotations")
SPEC = kind(
    "the spec",
    "templates entrypoint arguments volumes parallelism onExit activeDeadlineSeconds templateDefaults",
    _POD_FIELDS + " imagePullSecrets hostNetwork dnsPolicy dnsConfig ttlStrategy podGC podPriorityClassName priority "
    "podDisruptionBudget podMetadata workflowMetadata archiveLogs artifactRepositoryRef volumeClaimGC synchronization",
    {
        "volumeClaimTemplates": "use an existing claim in 'volumes'",
        "retryStrategy": "give each template its own",
        "hooks": "use 'onExit'",
        "suspend": "",
        "shutdown": "",
        "workflowTemplateRef": "run the template's own file",
        "artifactGC": "",
    },
)
_OTHER_TYPES = "steps containerSet script suspend data http plugin"
TEMPLATE = kind(
    "a template",
    "name inputs outputs container dag resource volumes activeDeadlineSeconds timeout retryStrategy parallelism "
    "synchronization",
    _POD_FIELDS + " metadata priorityClassName annotations archiveLocation",
    {
        **dict.fromkeys(_OTHER_TYPES.split(), "supported are 'container', 'dag' and a nested workflow as 'resource'"),
        **dict.fromkeys(["daemon", "initContainers", "sidecars", "memoize"], ""),
        "failFast": "use 'dag.failFast'",
    },
)
RESOURCE = kind(
    "a resource",
    "action manifest successCondition failureCondition",
    "setOwnerReference",
    "manifestFrom mergeStrategy flags",
)
NESTED = kind("a nested workflow", "apiVersion kind spec", "metadata", "status")
NESTED_SPEC = kind("the spec of a nested workflow", "workflowTemplateRef entrypoint arguments", "onExit")
TEMPLATE_REF = kind("workflowTemplateRef", "name", refused="clusterScope")
CONTAINER = kind(
    "a container",
    "command args env workingDir volumeMounts",
    "name image imagePullPolicy resources securityContext envFrom ports livenessProbe readinessProbe startupProbe "
    "terminationMessagePath terminationMessagePolicy tty stdin stdinOnce resizePolicy",
    "lifecycle volumeDevices restartPolicy",
)
ENV = kind("an environment variable", "name value valueFrom")
ENV_SOURCE = kind("valueFrom", "", "secretKeyRef", "configMapKeyRef fieldRef resourceFieldRef fileKeyRef")
MOUNT = kind("a volume mount", "name mountPath subPath", "readOnly mountPropagation recursiveReadOnly", "subPathExpr")
_OTHER_VOLUMES = (
    "configMap secret projected hostPath nfs csi ephemeral downwardAPI image gitRepo iscsi cephfs rbd fc flexVolume "
    "azureFile azureDisk gcePersistentDisk awsElasticBlockStore glusterfs"
)
VOLUME = kind(
    "a volume",
    "name persistentVolumeClaim emptyDir",
    refused=dict.fromkeys(_OTHER_VOLUMES.split(), "supported are 'persistentVolumeClaim' and 'emptyDir'"),
)
CLAIM = kind("persistentVolumeClaim", "claimName", "readOnly")
EMPTY_DIR = kind("emptyDir", "", "medium sizeLimit")
INPUTS = kind("inputs", "parameters", refused="artifacts")
OUTPUTS = kind("outputs", "parameters", refused="artifacts result exitCode")
ARGUMENTS = kind("arguments", "parameters", refused="artifacts")
PARAMETER = kind("a parameter", "name value default enum valueFrom description", refused="globalName")
VALUE_FROM = kind(
    "valueFrom", "path parameter configMapKeyRef default", "", "expression jsonPath jqFilter event supplied"
)
KEY_REF = kind("configMapKeyRef", "name key", "optional")
DAG = kind("dag", "tasks failFast", refused="target")
TASK = kind(
    "a task",
    "name template arguments dependencies depends continueOn when withItems withParam withSequence",
    refused="inline templateRef onExit hooks",
)
CONTINUE_ON = kind("continueOn", "failed error")
SEQUENCE = kind("withSequence", "count start end format")
RETRY = kind("retryStrategy", "limit retryPolicy backoff expression", "affinity")
BACKOFF = kind("backoff", "duration factor maxDuration cap")
SYNCHRONIZATION = kind(
    "synchronization",
    "semaphores mutexes",
    refused={"semaphore": "write the list 'semaphores'", "mutex": "write the list 'mutexes'"},
)
SEMAPHORE = kind("a semaphore", "configMapKeyRef", "namespace", "database")
MUTEX = kind("a mutex", "name", "namespace", "database")
KINDS = tuple(value for value in list(globals().values()) if isinstance(value, Kind))


_INTRODUCTION = """\
# Fields of a workflow file

What `vemseg run` makes of each field of an Argo Workflows file: this page is what `vemseg run --fields` prints. A field
that is *read* does here what it does on a cluster; one *without meaning* is for clusters alone, and a dry run names its
lines; one that is *refused* ends the command with its file and line, before anything runs. A field that stands nowhere
here is a typing error, and is refused too.
"""


def markdown() -> str:
    """The whole list."""
    return "\n".join([_INTRODUCTION, *(_section(kind) for kind in KINDS)])


def _section(kind: Kind) -> str:
    lines = [f"## {kind.name.removeprefix('a ').removeprefix('an ').removeprefix('the ')}", ""]
    lines += _line("read", sorted(kind.read))
    lines += _line("without meaning", sorted(kind.no_meaning))
    for reason in sorted(set(kind.refused.values())):
        names = sorted(name for name, why in kind.refused.items() if why == reason)
        lines += _line("refused", names, f" ({reason})" if reason else "")
    return "\n".join([*lines, ""])


def _line(what: str, names: Iterable[str], more: str = "") -> list[str]:
    listed = ", ".join(f"`{name}`" for name in names)
    return [f"- {what}: {listed}{more}"] if listed else []
