"""Workflows on a cluster: submitting, watching, logs, stopping, going on, fetching results.

    workflows = connect()
    submitted = submit(workflows, from_template(workflows, "vemseg-study"), {"config": ..., "run": ...})
    outcome = watch(workflows, submitted["metadata"]["name"], for_console(console))

Two ways lead to a cluster and offer the same (`api`): Argo's server (`server`) and the Kubernetes API (`kube`);
`connection` chooses by the environment. Read on in `status` (Argo's nodes as ours, and how a lost
connection is survived), `pull` (files off a volume claim).
"""

from pipeline.argo.cluster.api import Workflows
from pipeline.argo.cluster.connection import connect, kubernetes
from pipeline.argo.cluster.logs import print_logs
from pipeline.argo.cluster.pull import pull
from pipeline.argo.cluster.submit import Source, from_file, from_template, resume, stop, submit
from pipeline.argo.cluster.watch import watch

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
