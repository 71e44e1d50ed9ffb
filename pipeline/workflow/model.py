"""The part of Argo Workflows v4 that the local runner understands, as plain immutable data.

`load` reads a `Workflow` or a `WorkflowTemplate`. Each field of the file is read, listed as having no meaning on
one machine (`Workflow.no_meaning`), or refused with file and line; `KINDS` below is the complete list.
Fields that may hold `{{tags}}` stay text until the tags are replaced (see `templating`).
Source of the field names: https://argo-workflows.readthedocs.io/en/latest/fields/
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import WorkflowError
from pipeline.workflow.yamlfile import Fields, Where, as_text, kind, read

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
_OTHER_TYPES = "steps containerSet script resource suspend data http plugin"
TEMPLATE = kind(
    "a template",
    "name inputs outputs container dag volumes activeDeadlineSeconds retryStrategy parallelism synchronization timeout",
    _POD_FIELDS + " metadata priorityClassName annotations archiveLocation",
    {
        **dict.fromkeys(_OTHER_TYPES.split(), "supported are 'container' and 'dag'"),
        **dict.fromkeys(["daemon", "initContainers", "sidecars", "memoize"], ""),
        "failFast": "use 'dag.failFast'",
    },
)
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
KINDS = (
    TOP, METADATA, SPEC, TEMPLATE, CONTAINER, ENV, ENV_SOURCE, MOUNT, VOLUME, CLAIM, EMPTY_DIR, INPUTS, OUTPUTS,
    ARGUMENTS, PARAMETER, VALUE_FROM, KEY_REF, DAG, TASK, CONTINUE_ON, SEQUENCE, RETRY, BACKOFF, SYNCHRONIZATION,
    SEMAPHORE, MUTEX,
)  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    """An input, an argument or an output. `value` wins over `default`; where both are absent it must be given."""

    where: Where
    name: str
    value: str | None = None
    default: str | None = None
    enum: tuple[str, ...] = ()
    path: str | None = None  # output: the file that holds the value
    source: str | None = None  # output of a dag: the tag of a task's output
    config_map_key: str | None = None  # "name/key"
    description: str = ""


@dataclass(frozen=True)
class Mount:
    """Volume `volume` seen at `path` inside the container."""

    where: Where
    volume: str
    path: str
    sub_path: str = ""


@dataclass(frozen=True)
class Volume:
    """A directory: of the claim `claim`, or fresh for each pod where that is `None`."""

    where: Where
    name: str
    claim: str | None


@dataclass(frozen=True)
class Container:
    """What runs: `command` and `args` as one process, `env` as (name, value) pairs."""

    where: Where
    command: tuple[str, ...]
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    working_dir: str | None = None
    mounts: tuple[Mount, ...] = ()


@dataclass(frozen=True)
class Sequence:
    """`withSequence`: whole numbers as text; `format` is a printf format of one integer."""

    where: Where
    count: str | None
    start: str | None
    end: str | None
    format: str


@dataclass(frozen=True)
class Task:
    """A node of a DAG. At most one of `items`, `param` and `sequence` makes it a loop."""

    where: Where
    name: str
    template: str
    arguments: tuple[Parameter, ...] = ()
    depends: str = ""
    when: str = ""
    items: tuple[Any, ...] | None = None
    param: str | None = None
    sequence: Sequence | None = None
    continue_on: tuple[str, ...] = ()  # phases that count as fine: Failed, Error

    @property
    def is_loop(self) -> bool:
        return self.items is not None or self.param is not None or self.sequence is not None


@dataclass(frozen=True)
class Dag:
    where: Where
    tasks: tuple[Task, ...]
    fail_fast: bool = True

    def task(self, name: str) -> Task:
        return next(task for task in self.tasks if task.name == name)


@dataclass(frozen=True)
class Retry:
    """When a failed node is tried again. Durations are texts such as `30` (seconds), `2m`, `1h30m`."""

    where: Where
    limit: str | None = None
    policy: str = "OnFailure"
    expression: str = ""
    backoff_duration: str | None = None
    backoff_factor: str | None = None
    backoff_max_duration: str | None = None
    backoff_cap: str | None = None


@dataclass(frozen=True)
class Template:
    """A container or a DAG, with its inputs and outputs. `locks` are `name/key` semaphores and `mutex name`s."""

    where: Where
    name: str
    inputs: tuple[Parameter, ...] = ()
    outputs: tuple[Parameter, ...] = ()
    container: Container | None = None
    dag: Dag | None = None
    volumes: tuple[Volume, ...] = ()
    active_deadline_seconds: str | None = None
    timeout: str | None = None
    retry: Retry | None = None
    parallelism: int | None = None
    locks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Workflow:
    """A whole file. `generate_name` is the prefix of the run's name where `name` is empty."""

    where: Where
    name: str
    generate_name: str
    entrypoint: str
    templates: dict[str, Template]
    parameters: tuple[Parameter, ...] = ()
    volumes: tuple[Volume, ...] = ()
    parallelism: int | None = None
    active_deadline_seconds: int | None = None
    on_exit: str | None = None
    no_meaning: dict[str, list[int]] = field(default_factory=dict)  # field -> lines


def load(path: str | Path) -> Workflow:
    """Read and check a workflow file; `WorkflowError` cites file and line of the first thing wrong or unsupported."""
    from pipeline.workflow.check import check  # the checks build on the model

    workflow = _workflow(read(Path(path), TOP))
    check(workflow)
    return workflow


def _workflow(top: Fields) -> Workflow:
    if top.text("apiVersion") != "argoproj.io/v1alpha1" or top.text("kind") not in (
        "Workflow",
        "WorkflowTemplate",
    ):
        raise WorkflowError(f"{top.where}: expected a Workflow or WorkflowTemplate of argoproj.io/v1alpha1")
    metadata, spec = top.one("metadata", METADATA), top.one("spec", SPEC)
    if metadata is None or spec is None:
        raise WorkflowError(f"{top.where}: 'metadata' and 'spec' are required")
    if not (metadata.text("name") or metadata.text("generateName")):
        raise metadata.error("name", "is required")
    templates = _templates(spec)
    return Workflow(
        where=top.where,
        name=metadata.text("name") or "",
        generate_name=metadata.text("generateName") or "",
        entrypoint=spec.required("entrypoint"),
        templates=templates,
        parameters=_parameters(spec, "arguments", ARGUMENTS),
        volumes=_volumes(spec),
        parallelism=spec.integer("parallelism"),
        active_deadline_seconds=spec.integer("activeDeadlineSeconds"),
        on_exit=spec.text("onExit"),
        no_meaning=top.document.no_meaning,
    )


def _templates(spec: Fields) -> dict[str, Template]:
    defaults = spec.one("templateDefaults", TEMPLATE)
    templates: dict[str, Template] = {}
    for fields in spec.many("templates", TEMPLATE):
        if fields.required("name") in templates:
            raise fields.error("name", f"another template is called {fields.text('name')!r} already")
        other_type = "dag" if "container" in fields else "container"
        template = _template(fields.with_defaults(defaults, skipped=(other_type,)))
        templates[template.name] = template
    return templates


def _template(fields: Fields) -> Template:
    container, dag = fields.one("container", CONTAINER), fields.one("dag", DAG)
    if (container is None) == (dag is None):
        raise WorkflowError(f"{fields.where}: template {fields.text('name')!r} needs either 'container' or 'dag'")
    for key in ("activeDeadlineSeconds", "timeout") if dag else ("parallelism",):
        if key in fields:
            raise fields.error(key, f"has no effect on a {'dag' if dag else 'container'}; remove it")
    return Template(
        where=fields.where,
        name=fields.required("name"),
        inputs=_parameters(fields, "inputs", INPUTS),
        outputs=_parameters(fields, "outputs", OUTPUTS),
        container=None if container is None else _container(container),
        dag=None if dag is None else _dag(dag),
        volumes=_volumes(fields),
        active_deadline_seconds=fields.scalar_text("activeDeadlineSeconds"),
        timeout=fields.text("timeout"),
        retry=_retry(fields.one("retryStrategy", RETRY)),
        parallelism=fields.integer("parallelism") or None,
        locks=_locks(fields.one("synchronization", SYNCHRONIZATION)),
    )


def _parameters(owner: Fields, key: str, holder: Any) -> tuple[Parameter, ...]:
    fields = owner.one(key, holder)
    parameters = () if fields is None else tuple(_parameter(item) for item in fields.many("parameters", PARAMETER))
    doubled = {p.name for p in parameters if [q.name for q in parameters].count(p.name) > 1}
    if doubled:
        raise owner.error(key, f"parameter {min(doubled)!r} stands twice")
    return parameters


def _parameter(fields: Fields) -> Parameter:
    source = fields.one("valueFrom", VALUE_FROM)
    reference = None if source is None else source.one("configMapKeyRef", KEY_REF)
    enum = fields.value("enum") or []
    return Parameter(
        where=fields.where,
        name=fields.required("name"),
        value=fields.scalar_text("value"),
        default=fields.scalar_text("default") if source is None else source.scalar_text("default"),
        enum=tuple(as_text(value) for value in enum),
        path=None if source is None else source.text("path"),
        source=None if source is None else source.text("parameter"),
        config_map_key=None if reference is None else f"{reference.required('name')}/{reference.required('key')}",
        description=fields.text("description") or "",
    )


def _container(fields: Fields) -> Container:
    if not fields.texts("command"):
        raise fields.error("command", "is required: a cluster would ask the image's registry for it")
    return Container(
        where=fields.where,
        command=fields.texts("command"),
        args=fields.texts("args"),
        env=tuple(pair for item in fields.many("env", ENV) for pair in _env(item)),
        working_dir=fields.text("workingDir"),
        mounts=tuple(
            Mount(m.where, m.required("name"), m.required("mountPath"), m.text("subPath") or "")
            for m in fields.many("volumeMounts", MOUNT)
        ),
    )


def _env(fields: Fields) -> list[tuple[str, str]]:
    """A variable from a Secret is left to the environment that the runner was started in."""
    if fields.one("valueFrom", ENV_SOURCE) is not None:
        return []
    return [(fields.required("name"), fields.text("value") or "")]


def _volumes(owner: Fields) -> tuple[Volume, ...]:
    volumes = []
    for fields in owner.many("volumes", VOLUME):
        claim = fields.one("persistentVolumeClaim", CLAIM)
        if claim is None:
            if fields.value("emptyDir") is None:
                raise fields.error("emptyDir", "or 'persistentVolumeClaim' is required (write 'emptyDir: {}')")
            fields.one("emptyDir", EMPTY_DIR)
        volumes.append(
            Volume(fields.where, fields.required("name"), None if claim is None else claim.required("claimName"))
        )
    return tuple(volumes)


def _dag(fields: Fields) -> Dag:
    tasks = tuple(_task(task) for task in fields.many("tasks", TASK))
    if not tasks:
        raise fields.error("tasks", "must have at least one task")
    return Dag(fields.where, tasks, fields.flag("failFast", True))


def _task(fields: Fields) -> Task:
    if sum(key in fields for key in ("withItems", "withParam", "withSequence")) > 1:
        raise fields.error("withItems", "only one of withItems, withParam and withSequence can be given")
    continue_on = fields.one("continueOn", CONTINUE_ON)
    phases = {"Failed": "failed", "Error": "error"}
    return Task(
        where=fields.where,
        name=fields.required("name"),
        template=fields.required("template"),
        arguments=_parameters(fields, "arguments", ARGUMENTS),
        depends=_depends(fields),
        when=fields.text("when") or "",
        items=_items(fields),
        param=fields.text("withParam"),
        sequence=_sequence(fields.one("withSequence", SEQUENCE)),
        continue_on=() if continue_on is None else tuple(p for p, k in phases.items() if continue_on.flag(k, False)),
    )


def _depends(fields: Fields) -> str:
    """`dependencies: [a, b]` is `depends: a && b`."""
    if "depends" in fields and "dependencies" in fields:
        raise fields.error("depends", "cannot stand beside 'dependencies'")
    if "depends" in fields and "continueOn" in fields:
        raise fields.error("continueOn", "cannot stand beside 'depends'; write 'task.Failed' or 'task.Errored' there")
    return fields.text("depends") or " && ".join(fields.texts("dependencies"))


def _items(fields: Fields) -> tuple[Any, ...] | None:
    items = fields.value("withItems")
    if items is None:
        return None
    if not isinstance(items, list) or not items or None in items:
        raise fields.error("withItems", "must be a list of texts, numbers, mappings or lists, with at least one")
    return tuple(items)


def _sequence(fields: Fields | None) -> Sequence | None:
    if fields is None:
        return None
    if ("count" in fields) == ("end" in fields):
        raise fields.error("count", "give either 'count' or 'end'")
    count, start, end = (fields.scalar_text(key) for key in ("count", "start", "end"))
    return Sequence(fields.where, count, start, end, fields.text("format") or "%d")


def _retry(fields: Fields | None) -> Retry | None:
    if fields is None:
        return None
    expression = fields.text("expression") or ""
    policy = fields.text("retryPolicy") or ("Always" if expression else "OnFailure")
    if policy not in ("Always", "OnFailure", "OnError"):
        raise fields.error("retryPolicy", f"{policy!r} is not supported; supported are Always, OnFailure, OnError")
    backoff = fields.one("backoff", BACKOFF)
    if backoff is None:
        return Retry(fields.where, fields.scalar_text("limit"), policy, expression)
    return Retry(
        fields.where,
        fields.scalar_text("limit"),
        policy,
        expression,
        backoff_duration=backoff.required("duration"),
        backoff_factor=backoff.scalar_text("factor"),
        backoff_max_duration=backoff.text("maxDuration"),
        backoff_cap=backoff.text("cap"),
    )


def _locks(fields: Fields | None) -> tuple[str, ...]:
    if fields is None:
        return ()
    locks = []
    for semaphore in fields.many("semaphores", SEMAPHORE):
        reference = semaphore.one("configMapKeyRef", KEY_REF)
        if reference is None:
            raise semaphore.error("configMapKeyRef", "is required")
        locks.append(f"{reference.required('name')}/{reference.required('key')}")
    locks += [f"mutex {mutex.required('name')}" for mutex in fields.many("mutexes", MUTEX)]
    return tuple(locks)
