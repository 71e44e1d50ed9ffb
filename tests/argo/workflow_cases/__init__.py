"""Small workflows with the phases and outputs that Argo 4.0 gives their nodes, a module a subject.

The local runner is held to the expectations written here (test_workflow_phases), and the whole of what it makes of a
case, node by node, to what a real controller makes of the same file (conformance/). Everything is plain Argo YAML for
any image with `sh`.
"""

from __future__ import annotations

from workflow_cases.case import CONFIG_MAPS, Case
from workflow_cases.depends import CASES as DEPENDS
from workflow_cases.limits import CASES as LIMITS
from workflow_cases.loops import CASES as LOOPS
from workflow_cases.nesting import CASES as NESTING
from workflow_cases.outputs import CASES as OUTPUTS
from workflow_cases.parameters import CASES as PARAMETERS
from workflow_cases.retries import CASES as RETRIES
from workflow_cases.when import CASES as WHEN

CASES = [*DEPENDS, *LOOPS, *WHEN, *PARAMETERS, *OUTPUTS, *NESTING, *RETRIES, *LIMITS]

__all__ = ["CASES", "CONFIG_MAPS", "Case"]
