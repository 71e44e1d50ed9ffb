"""What the tests against a cluster work with: a small workflow, kubectl, and a connection that can be cut."""

from __future__ import annotations

import json
import select
import socket
import subprocess
import threading
from contextlib import suppress
from typing import Any

# A workflow for a namespace at the restricted level: a loop, a retry by exit code, an exit handler, a claim.
SPEC = """\
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: small}
spec:
  entrypoint: main
  onExit: goodbye
  arguments:
    parameters:
    - {name: run}
    - {name: code, value: "0", enum: ["0", "3"]}
    - {name: seconds, value: "1"}
    - {name: claim, value: data}
  securityContext: {runAsNonRoot: true, runAsUser: 10001, fsGroup: 10001, seccompProfile: {type: RuntimeDefault}}
  podSpecPatch: |
    initContainers:
    - {name: init, securityContext: &no {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}
    containers:
    - {name: wait, securityContext: *no}
  volumes:
  - {name: data, persistentVolumeClaim: {claimName: "{{workflow.parameters.claim}}"}}
  templateDefaults:
    container:
      image: localhost/busybox:1
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: data, mountPath: /data}]
  templates:
  - name: main
    dag:
      tasks:
      - {name: work, template: work, withItems: [1, 2]}
      - {name: last, template: last, depends: work}
      - {name: never, template: goodbye, depends: last.Failed && last.Succeeded}
  - name: work
    container:
      command: [sh, -c]
      args:
      - |
        mkdir -p {{workflow.parameters.run}}
        for i in 1 2 3; do echo line $i; sleep {{workflow.parameters.seconds}}; done
  - name: last
    retryStrategy: {limit: 1, retryPolicy: Always, expression: asInt(lastRetry.exitCode) == 75}
    container:
      command: [sh, -c]
      args:
      - |
        echo the reason >&2
        if mkdir {{workflow.parameters.run}}/second 2>&-; then exit {{workflow.parameters.code}}; fi
  - name: goodbye
    container: {command: [sh, -c], args: ["echo bye"]}
"""


def kubectl(*words: str, item: Any = None) -> str:
    """Run kubectl, with objects on its standard input where they are given."""
    text = None if item is None else json.dumps(item)
    done = subprocess.run(["kubectl", *words], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Line:
    """A connection between us and a server that can be cut: every byte goes through, until `cut` or `dead`."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target, self.dead = target, False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> int:
        """Break all connections; returns how many there were."""
        cut, self._open = self._open, []
        for end in cut:  # their threads close them
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        return len(cut)

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _address = self._listener.accept()
                if self.dead:
                    near.close()
                    continue
                try:
                    far = socket.create_connection(self.target)
                except OSError:
                    near.close()
                    continue
                self._open += [near, far]
                threading.Thread(target=self._pass_on, args=(near, far), daemon=True).start()

    @staticmethod
    def _pass_on(near: socket.socket, far: socket.socket) -> None:
        with near, far, suppress(OSError, ValueError):
            while True:
                for end in select.select([near, far], [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    (far if end is near else near).sendall(data)
