"""Follow the Workflow of `helm test` to its end, and end as it does; with Python alone, as the steps' image has it.

Reads the environment's NAMESPACE and WORKFLOW, the token that the pod's account is given, and APPLICATION, the URL at
which the application says that it is well, where it is installed.
"""

import json
import os
import ssl
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
KIND = "https://kubernetes.default.svc/apis/argoproj.io/v1alpha1"
URL = f"{KIND}/namespaces/{os.environ['NAMESPACE']}/workflows/{os.environ['WORKFLOW']}"
NOBODY_SECONDS = 60
APPLICATION_SECONDS = 180


def status() -> dict[str, Any]:
    """The Workflow's status; empty while no controller has seen it."""
    request = urllib.request.Request(URL, headers={"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"})
    trusted = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, context=trusted, timeout=30) as answer:
        return json.load(answer).get("status", {})


def reason(ended: dict[str, Any]) -> str:
    """What went wrong, from the Workflow and from its nodes."""
    messages = [ended.get("message"), *(node.get("message") for node in ended.get("nodes", {}).values())]
    return "; ".join(dict.fromkeys(filter(None, messages)))


def application(url: str) -> str:
    """What is wrong with the application; empty where it is well, which it is given some time to be."""
    for _ in range(APPLICATION_SECONDS):
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return "" if answer.status == 200 else f"it answers {answer.status}"
        except OSError as error:
            wrong = str(error)
        time.sleep(1)
    return wrong


started = time.monotonic()
while (now := status()).get("phase") not in ("Succeeded", "Failed", "Error"):
    if not now.get("phase") and time.monotonic() - started > NOBODY_SECONDS:
        sys.exit("No Argo controller takes up workflows in this namespace: ask the administrator for one.")
    time.sleep(1)
if now["phase"] != "Succeeded":
    sys.exit(f"The step ended as {now['phase']}: {reason(now)}")
print("The image, the storage and Argo's controller work here.")
if "APPLICATION" in os.environ:
    if wrong := application(os.environ["APPLICATION"]):
        sys.exit(f"The application at {os.environ['APPLICATION']} is not well: {wrong}")
    print("The application answers.")
