"""The application in a cluster: a volume that is uploaded to it is segmented by a workflow, and its result comes back.

The lab's user adds it to the installed chart. It runs as an account that may do no more than its Role says, and is
reached through its service, with the header in which a proxy names the users that it has signed in.
"""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPMessage
from pathlib import Path

import pytest
from lab import CHART, Files, Lab, Laptop
from observing import ENDED, Object, wait_for
from prometheus_client.parser import text_string_to_metric_families
from tinystudy import VOXEL_SIZE_NM, tissue, write_tiff
from tinystudy import files as contents

pytestmark = pytest.mark.timeout(1200)
HEADER = "X-Forwarded-User"
# What the page does when a user clicks on `Start the segmentation`.
START = f"""
import os, sys
from pipeline.webapp.catalogue import models
from pipeline.webapp.intake import inspect_upload
from pipeline.webapp.jobs import JobStore
from pipeline.webapp.owners import Owners
from pipeline.webapp.settings import Settings
from pipeline.webapp.uploads import Uploads

settings = Settings.of(os.environ)
owner = Owners(settings.user_header, b"", 1).of({{settings.user_header: sys.argv[1]}}, {{}})
upload = Uploads(settings).get(owner, sys.argv[2])
found = inspect_upload(str(upload.path), settings.policy)
(model,) = [card for card in models(settings.models) if card.target == "multilabel"]
job = JobStore(settings).create(owner, found, model, voxel_size_nm={VOXEL_SIZE_NM}, upload=upload)
print(job.id)
"""

# How a job is, as its page knows it.
STATE = """
import os, sys
from pipeline.webapp.jobs import JobStore
from pipeline.webapp.settings import Settings

job = JobStore(Settings.of(os.environ)).find(sys.argv[1])
print(job.state, job.message)
"""


class Application:
    """The application, as its users reach it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._line: subprocess.Popen[str] | None = None

    def connect(self) -> None:
        """Wait for its pod, and open a line to its service."""
        self.close()
        self.lab.kubectl("rollout", "status", "deployment/vemseg-web", "--timeout", "300s")
        words = ["kubectl", "port-forward", "service/vemseg-web", ":80"]
        self._line = subprocess.Popen(words, env=self.lab.environment, stdout=subprocess.PIPE, text=True)
        assert self._line.stdout is not None
        self._address = self._line.stdout.readline().split()[2]

    def close(self) -> None:
        """Cut the line."""
        if self._line is not None:
            self._line.terminate()
            self._line.communicate()

    def ask(
        self, user: str, path: str, method: str = "GET", data: bytes | None = None, **headers: str
    ) -> tuple[HTTPMessage, bytes]:
        """Headers and content of an answer; underscores in the names of headers stand for dashes."""
        given = {HEADER: user, **{name.replace("_", "-"): value for name, value in headers.items()}}
        request = urllib.request.Request(f"http://{self._address}{path}", data, given, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.headers, answer.read()

    def upload(self, user: str, path: Path) -> str:
        """Upload a file in two pieces; returns its id."""
        content = path.read_bytes()
        name = b64encode(path.name.encode()).decode()
        about = {"Upload_Length": str(len(content)), "Upload_Metadata": f"filename {name}"}
        _, made = self.ask(user, "/api/uploads", "POST", b"", **about)
        identifier = str(json.loads(made)["id"])
        half = len(content) // 2
        for start, piece in ((0, content[:half]), (half, content[half:])):
            about = {"Content_Type": "application/offset+octet-stream", "Upload_Offset": str(start)}
            self.ask(user, f"/api/uploads/{identifier}", "PATCH", piece, **about)
        return identifier

    def start(self, user: str, upload: str) -> str:
        """Start a job; returns its id."""
        words = ["exec", "deployment/vemseg-web", "--stdin", "--", "python3", "-", user, upload]
        return self.lab.kubectl(*words, stdin=START).strip()

    def state(self, job: str) -> str:
        """The state of a job, and why it is in it."""
        words = ["exec", "deployment/vemseg-web", "--stdin", "--", "python3", "-", job]
        return self.lab.kubectl(*words, stdin=STATE).strip()

    def workflows(self, job: str) -> list[Object]:
        """The Workflows that it has made for a job."""
        found: list[Object] = self.lab.get("workflows", "--selector", f"vemseg/job={job}")["items"]
        return found


@pytest.fixture(scope="module")
def application(lab: Lab, teacher: str) -> Iterator[Application]:
    values = {
        "web.enabled": "true",
        "web.models": f"{{{teacher}}}",
        "web.userHeader": HEADER,
        "networkPolicy.proxyNamespace": "proxies",
        "web.cpu": "600m",
        "web.memory": "1Gi",
    }
    lab.helm("upgrade", "vemseg", CHART, "--reuse-values", *(f"--set={key}={value}" for key, value in values.items()))
    found = Application(lab)
    try:
        found.connect()
        yield found
    finally:
        found.close()


def test_helm_test_finds_it_well(application: Application) -> None:
    application.lab.helm("test", "vemseg", "--timeout", "10m")


def test_an_upload_is_segmented_as_on_a_laptop_though_the_application_is_restarted(
    application: Application, teacher: str, files: Files, laptop: Laptop, tmp_path: Path
) -> None:
    """Its pod is deleted once the job's workflow is there; the next one goes on with that, and makes no second."""
    volume = tmp_path / "volume.tif"
    write_tiff(volume, tissue((3, 64, 96), seed=5)[0])
    job = application.start("ada", application.upload("ada", volume))
    wait_for(lambda: application.workflows(job), "the job's workflow", 120)
    application.lab.kubectl("delete", "pod", "--selector", "app.kubernetes.io/component=web")
    application.connect()

    wait_for(lambda: application.state(job).startswith(("done", "failed")), "the job's end", 600)
    assert application.state(job) == "done"
    (workflow,) = application.workflows(job)
    assert workflow["status"]["phase"] in ENDED

    headers, slice_png = application.ask("ada", f"/api/jobs/{job}/slices/0/1.png")
    assert headers["Content-Type"] == "image/png"
    assert slice_png.startswith(b"\x89PNG")
    for other in ("/slices/0/1.png", "/scene.html"):
        with pytest.raises(urllib.error.HTTPError, match=r"4\d\d"):
            application.ask("grace", f"/api/jobs/{job}{other}")

    model = files.get(f"{teacher}/models/multilabel", tmp_path / "multilabel")
    run, size = tmp_path / "run", ",".join(map(str, VOXEL_SIZE_NM))
    laptop("segment", model=model, input=volume, run=run, voxel_size_nm=size, workers="2")
    ours = contents(files.get(f"/data/app/jobs/{job}/run/volume.zarr", tmp_path / "volume.zarr"))
    assert ours == contents(run / "volume.zarr")


def test_a_request_without_a_user_is_refused(application: Application) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        application.ask("", "/api/uploads", "POST", b"", Upload_Length="1", Upload_Metadata="filename YQ==")


def test_its_metrics_count_jobs_by_state(application: Application) -> None:
    code = "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:9108/metrics').read().decode())"
    text = application.lab.kubectl("exec", "deployment/vemseg-web", "--", "python3", "-c", code)
    (jobs,) = [each for each in text_string_to_metric_families(text) if each.name == "vemseg_app_jobs"]
    assert {sample.labels["state"] for sample in jobs.samples} >= {"queued", "running", "done", "failed"}
