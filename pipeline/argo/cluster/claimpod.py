"""The files of a run on a volume claim, read through a pod that mounts it (see `receiving.Remote`)."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from pipeline.argo.cluster.api import QUIET_SECONDS, NotFoundError
from pipeline.argo.cluster.receiving import RemoteFile
from pipeline.argo.yamlfile import Object
from pipeline.errors import ClusterError, DataError, InputError

if TYPE_CHECKING:
    from pipeline.argo.cluster.kube import Cluster

_SCHEDULING = ("nodeSelector", "affinity", "tolerations", "imagePullSecrets", "priorityClassName", "securityContext")
_LONGEST_SECONDS = 21600  # after which the cluster ends the pod, whatever became of us
_COMMAND_BYTES = 4000  # an exec's command is part of a URL
_CHUNK_BYTES = 1 << 20
_STDOUT, _STDERR, _ERROR = 1, 2, 3  # channels of Kubernetes' exec protocol
_LIST = """cd "$0" && for place; do
  if [ -e "$place" ]; then find "./$place" -type f -exec stat -c "%s %Y %n" {} +; fi
done"""


@dataclass(frozen=True)
class ClaimPlace:
    """A folder of a claim: `path` as pods see it that mount `claim` at `mount_path`, like the pod `model`."""

    claim: str
    mount_path: str
    path: str
    image: str
    model: Object


class ClaimPod:
    """A pod that shows one claim, read-only; use it as a context manager.

    Entering raises `InputError` where the cluster refuses or cannot start the pod, saying why.
    """

    def __init__(self, cluster: Cluster, place: ClaimPlace, *, start_seconds: float = 300.0) -> None:
        self.cluster, self.place, self.start_seconds = cluster, place, start_seconds
        self.name = ""

    def __enter__(self) -> ClaimPod:
        create = self.cluster.core.create_namespaced_pod
        self.name = self.cluster.ask("making a pod that reads the claim", create, body=_pod(self.place)).metadata.name
        try:
            self._wait_until_it_runs()
        except BaseException:
            self._delete()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._delete()

    def files(self, folders: Iterable[str]) -> list[RemoteFile]:
        listed = b"".join(self._run(["sh", "-c", _LIST, self.place.path, *(list(folders) or ["."])]))
        files = []
        for line in listed.decode("utf-8").splitlines():
            size, modified, name = line.split(" ", 2)
            files.append(RemoteFile(_tidy(name), int(size), int(modified)))
        return sorted(files, key=lambda file: file.name)

    def contents(self, files: list[RemoteFile]) -> Iterator[tuple[RemoteFile, Iterator[bytes]]]:
        for batch in _batches(files):
            wanted = {file.name: file for file in batch}
            command = ["tar", "-cf", "-", "-C", self.place.path, *(f"./{name}" for name in wanted)]
            stream = io.BufferedReader(_Raw(self._run(command)), _CHUNK_BYTES)
            try:
                with tarfile.open(fileobj=stream, mode="r|") as archive:
                    for member in archive:
                        file, content = wanted.get(_tidy(member.name)), archive.extractfile(member)
                        if file is None or not member.isreg() or content is None:
                            raise DataError(f"the pod sent {member.name!r}, which was not asked for")
                        yield file, _chunks(content)
            except tarfile.TarError as error:
                raise ClusterError(f"the transfer from claim {self.place.claim} broke off ({error})") from error

    def _run(self, command: list[str]) -> Iterator[bytes]:
        """Yield what a command in the pod prints; `ClusterError` with its complaint when it fails."""
        from kubernetes.stream import stream
        from websocket import ABNF, WebSocketException

        from pipeline.argo.cluster.kube import errors

        core, complaint, verdict = self.cluster.core, b"", b""
        with errors(f"reading claim {self.place.claim}"):
            session = stream(
                core.connect_get_namespaced_pod_exec,
                *(self.name, self.cluster.namespace),
                command=command,
                container="main",
                **{"stdin": False, "stdout": True, "stderr": True, "tty": False, "binary": True},
                _preload_content=False,
            )
            # The client's own reading polls the bare socket and misses what TLS has buffered already.
            session.sock.settimeout(QUIET_SECONDS)
            try:
                while True:
                    code, frame = session.sock.recv_data_frame(True)
                    if code == ABNF.OPCODE_CLOSE:
                        break
                    channel, data = (frame.data[0], frame.data[1:]) if frame.data else (0, b"")
                    if channel == _STDOUT:
                        yield data
                    complaint += data if channel == _STDERR else b""
                    verdict += data if channel == _ERROR else b""
            except WebSocketException as error:
                raise ClusterError(f"the transfer from claim {self.place.claim} broke off ({error})") from error
            finally:
                session.close()
        if b'"Success"' not in verdict:
            said = complaint.decode("utf-8", errors="replace").strip() or verdict.decode("utf-8", errors="replace")
            raise InputError(f"{self.place.path} on claim {self.place.claim}: {said}")

    def _wait_until_it_runs(self) -> None:
        end, why = time.monotonic() + self.start_seconds, ""
        while time.monotonic() < end:
            pod = self.cluster.ask(f"pod {self.name}", self.cluster.core.read_namespaced_pod, self.name)
            if pod.status.phase == "Running":
                return
            if pod.status.phase in ("Failed", "Succeeded"):
                raise InputError(f"the pod that reads claim {self.place.claim} ended at once: {pod.status.message}")
            why = _why_it_waits(pod) or why
            time.sleep(0.5)
        raise InputError(
            f"the pod that reads claim {self.place.claim} has not started in {self.start_seconds:.0f} s: {why}; is the "
            "claim mounted on another node (ReadWriteOnce)?"
        )

    def _delete(self) -> None:
        with suppress(NotFoundError):
            delete = self.cluster.core.delete_namespaced_pod
            self.cluster.ask(f"deleting pod {self.name}", delete, self.name, grace_period_seconds=0)


class _Raw(io.RawIOBase):
    """Pieces of bytes as a file to read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def _pod(place: ClaimPlace) -> Object:
    restricted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    resources = {"cpu": "500m", "memory": "256Mi"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "vemseg-pull-",
            "labels": {"app.kubernetes.io/name": "vemseg", "app.kubernetes.io/component": "pull"},
        },
        "spec": {
            **{key: place.model[key] for key in _SCHEDULING if place.model.get(key)},
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "activeDeadlineSeconds": _LONGEST_SECONDS,
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": place.claim}}],
            "containers": [
                {
                    "name": "main",
                    "image": place.image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sleep", str(_LONGEST_SECONDS)],
                    "securityContext": restricted,
                    "resources": {"requests": resources, "limits": resources},
                    "volumeMounts": [{"name": "data", "mountPath": place.mount_path, "readOnly": True}],
                }
            ],
        },
    }


def _why_it_waits(pod: Any) -> str:
    """What the cluster says of a pod that does not start."""
    for container in pod.status.container_statuses or []:
        if container.state.waiting is not None and container.state.waiting.message:
            return str(container.state.waiting.message)
    return next((str(c.message) for c in pod.status.conditions or [] if c.status == "False" and c.message), "")


def _batches(files: list[RemoteFile]) -> Iterator[list[RemoteFile]]:
    batch: list[RemoteFile] = []
    length = 0
    for file in files:
        if batch and length + len(file.name.encode()) > _COMMAND_BYTES:
            yield batch
            batch, length = [], 0
        batch.append(file)
        length += len(file.name.encode()) + 3
    if batch:
        yield batch


def _chunks(content: IO[bytes]) -> Iterator[bytes]:
    while chunk := content.read(_CHUNK_BYTES):
        yield chunk


def _tidy(name: str) -> str:
    while name.startswith("./"):
        name = name[2:]
    return name
