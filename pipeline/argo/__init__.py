"""Running plain Argo Workflows v4 YAML on one machine, without a cluster.

`load` reads a file, `describe` says what it would run, `run` runs it, `exit_code` turns the outcome into that of a
process; `for_console` makes the view. Read on in `local` (the loop), `engine` and `dag` (Argo's rules), `fields` (what
is read, what has no meaning here, what is refused), `processes` (a container as a process), `directory` (resuming).

What differs from a cluster, by nature:

* the image is this machine: each `command` is looked up beside this Python, then on PATH;
* a mounted volume is a directory, and its mount path is replaced by it wherever a path begins with it in the command,
  the environment, the working directory and the files of outputs;
* the environment of the caller is passed on, which is also where variables from Secrets come from;
* semaphores are shared by the nodes of one run, with the places given by the caller (default: as many as jobs);
* what Argo would leave waiting for ever (an output that nobody made) ends in Error.
"""

from pipeline.argo.dryrun import describe
from pipeline.argo.local import Result, run, settled_parameters
from pipeline.argo.model import Workflow
from pipeline.argo.nodes import exit_code
from pipeline.argo.reading import load
from pipeline.argo.view import View, for_console

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
