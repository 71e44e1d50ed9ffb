"""A laboratory's namespace: pod security `restricted`, and a user who has rights in it and nowhere else."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "charts/vemseg"
IMAGE = "vemseg-worker:0.1.0"
USER = "lab-user"
SLOTS = 3  # places of the semaphore that all studies of the namespace share

Object = dict[str, Any]
Laptop = Callable[..., None]  # runs a workflow without any cluster: its name, and its parameters by name


def administrator(*words: str | Path, stdin: str | bytes | None = None) -> str:
    """The output of a kubectl command of the cluster's administrator, whose KUBECONFIG is set."""
    return _succeed(["kubectl", *words], dict(os.environ), stdin).decode()


def working_node() -> str:
    """The node that takes pods; a cluster under test may have others that only seem to be there."""
    nodes = json.loads(administrator("get", "nodes", "--output", "json"))["items"]
    return next(node["metadata"]["name"] for node in nodes if not node["spec"].get("taints"))


class Lab:
    """One such namespace. The user's commands see no other cluster and no Argo server."""

    def __init__(self, folder: Path) -> None:
        self.namespace = f"vemseg-e2e-{uuid.uuid4().hex[:6]}"
        self.kubeconfig = folder / f"{self.namespace}.kubeconfig"
        apply_as_administrator(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {
                    "name": self.namespace,
                    "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
                },
            },
            self._object("ServiceAccount", USER),
            self._object("Role", USER, rules=_rights_on_argo()),
            self._binding("Role", USER),
            self._binding("ClusterRole", "admin"),
        )
        self.kubeconfig.write_text(yaml.safe_dump(self._kubeconfig()))

    def remove(self) -> None:
        """Delete the namespace with all that is in it; returns before it is gone."""
        administrator("delete", "namespace", self.namespace, "--wait=false")

    # The user's commands

    def kubectl(self, *words: str | Path, stdin: str | bytes | None = None) -> str:
        """The output of a kubectl command."""
        return _succeed(["kubectl", *words], self.environment, stdin).decode()

    def helm(self, *words: str | Path) -> str:
        """The output of a helm command."""
        return _succeed(["helm", *words], self.environment).decode()

    def vemseg(self, *words: str | Path) -> str:
        """The output of a vemseg command."""
        return _succeed([sys.executable, "-m", "pipeline", *words], self.environment).decode()

    def get(self, kind: str, *words: str) -> Object:
        """An object, or a list of them."""
        found: Object = json.loads(self.kubectl("get", kind, *words, "--output", "json"))
        return found

    @property
    def environment(self) -> dict[str, str]:
        """That of the user's processes."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ARGO_")}
        return kept | {"KUBECONFIG": str(self.kubeconfig)}

    # The claim, as pods see it below /data

    def open_files(self, claim: str = "vemseg-data") -> Files:
        """Start a pod through which the claim's files can be reached, and wait for it."""
        pod = f"files-{claim}"
        self.kubectl("create", "--filename", "-", stdin=json.dumps(_files_pod(pod, claim)))
        self.kubectl("wait", f"pod/{pod}", "--for", "condition=Ready", "--timeout", "300s")
        return Files(self, pod)

    def _object(self, kind: str, name: str, **fields: object) -> Object:
        api = "v1" if kind == "ServiceAccount" else "rbac.authorization.k8s.io/v1"
        return {
            "apiVersion": api,
            "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace},
            **fields,
        }

    def _binding(self, kind: str, role: str) -> Object:
        account = {"kind": "ServiceAccount", "name": USER, "namespace": self.namespace}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}
        return self._object("RoleBinding", role, roleRef=reference, subjects=[account])

    def _kubeconfig(self) -> Object:
        """The administrator's cluster, the user's token, the lab's namespace."""
        mine = yaml.safe_load(administrator("config", "view", "--raw", "--minify"))
        token = administrator("create", "token", USER, "--namespace", self.namespace, "--duration", "6h").strip()
        cluster = mine["clusters"][0]["name"]
        context = {"cluster": cluster, "user": USER, "namespace": self.namespace}
        mine["users"] = [{"name": USER, "user": {"token": token}}]
        mine["contexts"] = [{"name": "lab", "context": context}]
        return {**mine, "current-context": "lab"}


class Files:
    """The files of a claim, through a pod that has mounted it at /data."""

    def __init__(self, lab: Lab, pod: str) -> None:
        self._lab, self._pod = lab, pod

    def run(self, *command: str, stdin: bytes | None = None) -> bytes:
        """The output of a command in the pod."""
        words = ["kubectl", "exec", *(["--stdin"] if stdin is not None else []), self._pod, "--", *command]
        return _succeed(words, self._lab.environment, stdin)

    def put(self, folder: Path, destination: str) -> None:
        """Copy the files of a local folder into one of the claim."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path in sorted(folder.iterdir()):
                archive.add(path, path.name)
        self.run("mkdir", "-p", destination)
        self.run("tar", "-xf", "-", "-C", destination, "--no-same-owner", stdin=packed.getvalue())

    def get(self, folder: str, destination: Path) -> Path:
        """Copy a folder of the claim into a local one, and return that."""
        with tarfile.open(fileobj=io.BytesIO(self.run("tar", "-cf", "-", "-C", folder, "."))) as archive:
            archive.extractall(destination, filter="data")
        return destination

    def read(self, path: str) -> str:
        """A text file."""
        return self.run("cat", path).decode()

    def changed(self, folder: str) -> dict[str, str]:
        """When each file below a folder was last changed, as `stat` prints it; empty while there is no folder."""
        script = 'if [ -d "$0" ]; then find "$0" -type f -exec stat -c "%n %y" {} +; fi'
        lines = self.run("sh", "-c", script, folder).decode().splitlines()
        return dict(line.split(" ", 1) for line in lines)


def apply_as_administrator(*objects: Object) -> None:
    """Make objects with the administrator's rights."""
    administrator("create", "--filename", "-", stdin=yaml.safe_dump_all(objects))


def _rights_on_argo() -> Any:
    return yaml.safe_load((REPOSITORY / "k8s/admin/rights.yaml").read_text())["rules"]


def _succeed(words: list[str | Path], environment: dict[str, str], stdin: str | bytes | None = None) -> bytes:
    given = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [*map(str, words)], env=environment, input=given, capture_output=True, timeout=600, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{' '.join(map(str, words))}\n{said.decode(errors='replace')}"
    return done.stdout


def _files_pod(name: str, claim: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "fsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
            "containers": [
                {
                    "name": "main",
                    "image": IMAGE,
                    "command": ["python", "-c", "import signal; signal.pause()"],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}},
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }
            ],
        },
    }
