"""Reading a workflow file into the model.

Each field of the file is read, listed as having no meaning on one machine (`Workflow.no_meaning`), or refused with
file and line; the complete list is in `fields`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.argo import resolution
from pipeline.argo.check import check
from pipeline.argo.fields import (
    ARGUMENTS,
    BACKOFF,
    CLAIM,
    CONTAINER,
    CONTINUE_ON,
    DAG,
    EMPTY_DIR,
    ENV,
    ENV_SOURCE,
    INPUTS,
    KEY_REF,
    METADATA,
    MOUNT,
    MUTEX,
    NESTED,
    NESTED_SPEC,
    OUTPUTS,
    PARAMETER,
    RESOURCE,
    RETRY,
    SEMAPHORE,
    SEQUENCE,
    SPEC,
    SYNCHRONIZATION,
    TASK,
    TEMPLATE,
    TEMPLATE_REF,
    TOP,
    VALUE_FROM,
    VOLUME,
)
from pipeline.argo.items import Item
from pipeline.argo.model import Container, Dag, Mount, Parameter, Retry, Sequence, Task, Template, Volume, Workflow
from pipeline.argo.yamlfile import Fields, read_object
from pipeline.errors import WorkflowError


def load(path: str | Path) -> Workflow:
    """Read and check a workflow file; `WorkflowError` cites file and line of the first thing wrong or unsupported."""
    workflow = _workflow(Fields(read_object(Path(path)), TOP, {}))
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
    return Workflow(
        where=top.where,
        name=metadata.text("name") or "",
        generate_name=metadata.text("generateName") or "",
        entrypoint=spec.required("entrypoint"),
        templates=_templates(spec, metadata.text("name") or ""),
        parameters=_parameters(spec, "arguments", ARGUMENTS),
        volumes=_volumes(spec),
        parallelism=spec.integer("parallelism"),
        active_deadline_seconds=spec.integer("activeDeadlineSeconds"),
        on_exit=spec.text("onExit"),
        no_meaning=top.no_meaning,
        spec=spec.content,
    )


def _templates(spec: Fields, own_name: str) -> dict[str, Template]:
    spec.one("templateDefaults", TEMPLATE)  # its fields are checked even where no template takes them
    written = spec.many("templates", TEMPLATE)
    templates: dict[str, Template] = {}
    for own, content in zip(written, resolution.templates(spec.content), strict=True):
        if own.required("name") in templates:
            raise own.error("name", f"another template is called {own.text('name')!r} already")
        template = _template(Fields(content, TEMPLATE, spec.no_meaning), own_name)
        templates[template.name] = template
    return templates


def _template(fields: Fields, own_name: str) -> Template:
    if sum(kind in fields for kind in ("container", "dag", "resource")) != 1:
        raise WorkflowError(
            f"{fields.where}: template {fields.text('name')!r} needs one of 'container', 'dag' and 'resource'"
        )
    container, dag, resource = (
        fields.one("container", CONTAINER),
        fields.one("dag", DAG),
        fields.one("resource", RESOURCE),
    )
    for key in ("parallelism",) if container else ("activeDeadlineSeconds", "timeout"):
        if key in fields:
            raise fields.error(key, f"has no effect on a {'container' if container else 'dag'}; remove it")
    return Template(
        where=fields.where,
        name=fields.required("name"),
        inputs=_parameters(fields, "inputs", INPUTS),
        outputs=_parameters(fields, "outputs", OUTPUTS),
        container=None if container is None else _container(container),
        dag=_dag(dag) if dag is not None else _nested(resource, own_name) if resource is not None else None,
        is_nested=resource is not None,
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
    return Parameter(
        where=fields.where,
        name=fields.required("name"),
        value=fields.text("value"),
        default=fields.text("default") if source is None else source.text("default"),
        enum=fields.texts("enum"),
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
        env=tuple(_env(item) for item in fields.many("env", ENV)),
        working_dir=fields.text("workingDir"),
        mounts=tuple(
            Mount(m.where, m.required("name"), m.required("mountPath"), m.text("subPath") or "")
            for m in fields.many("volumeMounts", MOUNT)
        ),
    )


def _env(fields: Fields) -> tuple[str, str | None]:
    """A variable from a Secret is left to the environment that the runner was started in."""
    source = fields.one("valueFrom", ENV_SOURCE)
    return fields.required("name"), (fields.text("value") or "") if source is None else None


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


# The one `resource` that has a meaning on one machine. On a cluster, a template that applies a Workflow of its own
# file's WorkflowTemplate, entered at another template, keeps the nodes of a wide fan-out out of the Workflow object,
# which must stay small. Here no object is too large: the template that it enters runs in its place.
_RESOURCE = {
    "action": "apply",  # a second try of the pod that waits then finds the workflow of the first one
    "successCondition": "status.phase == Succeeded",
    "failureCondition": "status.phase in (Failed, Error)",
}


def _nested(resource: Fields, own_name: str) -> Dag:
    """One task, of the template that the nested workflow enters, in place of the workflow."""
    _demand(resource, _RESOURCE)
    manifest = resource.embedded("manifest", NESTED)
    _demand(manifest, {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow"})
    spec = manifest.one("spec", NESTED_SPEC)
    reference = None if spec is None else spec.one("workflowTemplateRef", TEMPLATE_REF)
    if spec is None or reference is None:
        raise manifest.error("spec", "needs a 'workflowTemplateRef'; other resources are not supported")
    _demand(reference, {"name": own_name})
    entrypoint = spec.required("entrypoint")
    arguments = (a for a in _parameters(spec, "arguments", ARGUMENTS) if not _is_passed_on(a))
    return Dag(resource.where, (Task(resource.where, entrypoint, entrypoint, tuple(arguments)),))


def _demand(fields: Fields, values: dict[str, str]) -> None:
    for key, value in values.items():
        if fields.text(key) != value:
            raise fields.error(key, f"only {value!r} is supported by the local runner")


def _is_passed_on(argument: Parameter) -> bool:
    """Whether an argument only gives the nested workflow a parameter that this one has."""
    return argument.value == f"{{{{workflow.parameters.{argument.name}}}}}"


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


def _items(fields: Fields) -> tuple[Item, ...] | None:
    items = fields.value("withItems")
    if items is None:
        return None
    if not isinstance(items, list) or not items or None in items:
        raise fields.error("withItems", "must be a list of texts, numbers, mappings or lists, with at least one")
    return tuple(Item.of(item) for item in items)


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
