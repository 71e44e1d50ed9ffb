"""Running plain Argo Workflows YAML on one machine, without a cluster.

`load` reads a file, `describe` says what it would run, `run` runs it, `exit_code` turns the outcome into that of a
process. What is supported, ignored and refused is the table at the top of `model`; the rules are in `dag`.
"""

from pipeline.workflow.dryrun import describe
from pipeline.workflow.local import Result, exit_code, run, settled_parameters
from pipeline.workflow.model import Workflow, load
from pipeline.workflow.view import View, for_console

__all__ = [
    "Result",
    "View",
    "Workflow",
    "describe",
    "exit_code",
    "for_console",
    "load",
    "run",
    "settled_parameters",
]
