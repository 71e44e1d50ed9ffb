"""Workflows on a cluster: submitting, watching, logs, stopping, going on, fetching results.

    workflows = connect()
    submitted = submit(workflows, from_template(workflows, "vemseg-study"), {"config": ..., "run": ...})
    outcome = watch(workflows, submitted["metadata"]["name"], for_console(console))

Two ways lead to a cluster and offer the same (`api`): Argo's server (`server`) and the Kubernetes API (`kube`);
`connection` chooses by the environment. Read on in `follow` (how a lost connection is survived), `status` (Argo's
nodes as ours), `pull` (files off a volume claim).
"""

from pipeline.workflow.cluster.api import Workflows
from pipeline.workflow.cluster.connection import connect, kubernetes
from pipeline.workflow.cluster.logs import print_logs
from pipeline.workflow.cluster.pull import pull
from pipeline.workflow.cluster.stopping import resume, stop
from pipeline.workflow.cluster.submit import Source, from_file, from_template, submit
from pipeline.workflow.cluster.watch import watch

__all__ = [
    "Source",
    "Workflows",
    "connect",
    "from_file",
    "from_template",
    "kubernetes",
    "print_logs",
    "pull",
    "resume",
    "stop",
    "submit",
    "watch",
]
