"""A nested workflow: the one `resource` that has a meaning on one machine.

On a cluster, a template that applies a Workflow of its own file's WorkflowTemplate, entered at another template, keeps
the nodes of a wide fan-out out of the Workflow object, which must stay small. Here no object is too large: the template
that the nested workflow enters runs in its place.
"""

from __future__ import annotations

from pipeline.workflow.fields import NESTED, NESTED_SPEC, TEMPLATE_REF
from pipeline.workflow.model import Parameter
from pipeline.workflow.yamlfile import Fields

_RESOURCE = {
    "action": "apply",  # a second try of the pod that waits then finds the workflow of the first one
    "successCondition": "status.phase == Succeeded",
    "failureCondition": "status.phase in (Failed, Error)",
}
_MANIFEST = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow"}


def spec_of(resource: Fields, own_name: str) -> Fields:
    """The spec of the workflow that a `resource` applies; `own_name` is that of the file's WorkflowTemplate.

    Raises `WorkflowError` for any other resource, with what it would have to be.
    """
    _demand(resource, _RESOURCE)
    manifest = resource.embedded("manifest", NESTED)
    _demand(manifest, _MANIFEST)
    spec = manifest.one("spec", NESTED_SPEC)
    reference = None if spec is None else spec.one("workflowTemplateRef", TEMPLATE_REF)
    if spec is None or reference is None:
        raise manifest.error("spec", "needs a 'workflowTemplateRef'; other resources are not supported")
    _demand(reference, {"name": own_name})
    return spec


def is_passed_on(argument: Parameter) -> bool:
    """Whether an argument only gives the nested workflow a parameter that this one has."""
    return argument.value == f"{{{{workflow.parameters.{argument.name}}}}}"


def _demand(fields: Fields, values: dict[str, str]) -> None:
    for key, value in values.items():
        if fields.text(key) != value:
            raise fields.error(key, f"only {value!r} is supported by the local runner")
