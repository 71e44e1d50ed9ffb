"""What lies below the cluster: the process of the workflow controller, and a volume that can be full.

On kind both are reached through Kubernetes and `docker exec`; the test cluster of this project's developers is a set of
plain processes, found by their names and entered with `nsenter`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import Lab, administrator, apply_as_administrator, working_node
from observing import wait_for

CONTROLLER = "workflow-controller"


def restart_controller() -> None:
    """End Argo's controller, as a crash would, and have it started again."""
    if "deployment.apps" in administrator("get", "deployments", "--namespace", "argo", "--output", "name"):
        administrator("rollout", "restart", f"deployment/{CONTROLLER}", "--namespace", "argo")
        administrator("rollout", "status", f"deployment/{CONTROLLER}", "--namespace", "argo", "--timeout", "180s")
        return
    process = _process(CONTROLLER)
    command = (process / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    environment = dict(line.split(b"=", 1) for line in (process / "environ").read_bytes().split(b"\0") if b"=" in line)
    log = (process / "fd/1").resolve()
    os.kill(int(process.name), signal.SIGKILL)
    with log.open("ab") as output:
        detached = ["setsid", "--fork", *_on_node(), *command]
        subprocess.run(detached, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=True)


@contextmanager
def small_claim(lab: Lab, name: str, size_mib: int) -> Iterator[None]:
    """A claim whose volume really ends after so many MiB: a file system in memory, on the cluster's node."""
    node = working_node()
    volume, folder = f"{lab.namespace}-{name}", f"/var/tmp/{lab.namespace}-{uuid.uuid4().hex[:6]}"
    size = f"{size_mib}Mi"
    _run_on(node, "mkdir", "-p", folder)
    _run_on(node, "mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=0777", "tmpfs", folder)
    try:
        apply_as_administrator(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": volume},
                "spec": {
                    "capacity": {"storage": size},
                    "accessModes": ["ReadWriteMany"],
                    "hostPath": {"path": folder, "type": "Directory"},
                    "storageClassName": "",
                    "persistentVolumeReclaimPolicy": "Retain",
                },
            }
        )
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "storageClassName": "",
                "volumeName": volume,
                "resources": {"requests": {"storage": size}},
            },
        }
        lab.kubectl("create", "--filename", "-", stdin=json.dumps(claim))
        yield
    finally:
        administrator("delete", "persistentvolume", volume, "--wait=false", "--ignore-not-found")
        _run_on(node, "umount", "--lazy", folder)
        _run_on(node, "rmdir", folder)


def _run_on(node: str, *command: str) -> None:
    """Run a command as root on the cluster's node."""
    if shutil.which("docker") and subprocess.run(["docker", "inspect", node], capture_output=True).returncode == 0:
        words = ["docker", "exec", node, *command]
    else:
        words = [*_on_node(), *command]
    subprocess.run(words, check=True, capture_output=True)


def _on_node() -> list[str]:
    """Words in front of a command that run it in the namespaces of the test cluster's node."""
    kubelet = _process("kubelet").name
    return ["nsenter", "--target", kubelet, "--mount", "--net", "--uts", "--ipc", "--pid", "--cgroup", "--"]


def _process(program: str) -> Path:
    """The entry in /proc of the process of a program."""
    return wait_for(
        lambda: next((each for each in Path("/proc").glob("[0-9]*") if _program(each) == program), None),
        f"a process {program}",
        30,
    )


def _program(process: Path) -> str:
    try:
        return Path((process / "cmdline").read_bytes().split(b"\0")[0].decode()).name
    except OSError:  # it has ended meanwhile
        return ""
