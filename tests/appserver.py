"""The application as its users meet it: `vemseg app` in a process of its own, with a tiny model that was trained.

Where a test counts on the order of things in the queue, jobs run one at a time.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tinystudy import write_study

from pipeline.steps.augment import augment
from pipeline.steps.plan import plan
from pipeline.steps.train import train

START_SECONDS = 60
VOXEL_SIZE_NM = (45, 4.6, 4.6)
"""Of the real sections; the tiny model is told that it was trained at the same."""
CAPTURE = {"name": "tiny", "raw": "raw.tif", "labels": "labels.tif", "voxel_size_nm": list(VOXEL_SIZE_NM)}
TRAINING: dict[str, Any] = {
    "data": {"captures": [CAPTURE]},
    "training": {"steps": 60, "binary_steps": 4},
    "inference": {"block_zyx": [20, 128, 128], "shard_zyx": [20, 128, 128]},
}
"""Long enough to find each of the three classes; blocks that suit volumes which people upload."""
SECTIONS = Path(__file__).parents[1].parent / "shared" / "data" / "vnc" / "raw"
"""Real sections, where they are; see their README for where they come from."""


def train_tiny_model(folder: Path) -> Path:
    """A run with a multilabel model that tells dark, grey and bright apart."""
    run = folder / "run"
    plan(str(write_study(folder / "study", TRAINING)), str(run))
    augment(str(run), worker=0, workers=1)
    train(str(run), target="multilabel")
    return run


def sections(count: int) -> NDArray[np.uint8]:
    """Slices (z, y, x) of real tissue, or of the phantom where there is none."""
    if SECTIONS.is_dir():
        return np.stack([np.asarray(Image.open(path)) for path in sorted(SECTIONS.iterdir())[:count]])
    from pipeline.phantom import make_phantom

    return make_phantom((count, 256, 256), seed=0).raw


def zip_of_slices(path: Path, slices: NDArray[np.uint8]) -> Path:
    """Write the slices as PNG into an archive, as people pack them."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, pixels in enumerate(slices):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG", compress_level=1)
            archive.writestr(f"slices/section_{number}.png", file.getvalue())
    return path


@dataclass
class AppServer:
    """A server; `url` has no slash at its end."""

    command: Sequence[str]
    folder: Path
    process: subprocess.Popen[str]
    url: str
    metrics_url: str
    settings: Mapping[str, str]

    @classmethod
    def start(cls, model: Path, folder: Path, *options: str, port: int = 0, **settings: object) -> AppServer:
        """Start it and wait until it answers; settings are those that have no option."""
        words = [sys.executable, "-m", "pipeline", "app", "--model", str(model), "--data", str(folder)]
        words += ["--metrics-port", "0", *options]
        variables = {f"VEMSEG_APP_{name.upper()}": str(value) for name, value in settings.items()}
        return cls(words, folder, *cls._started(words, folder, port, variables), variables)

    def restart(self) -> None:
        """Start it again at the same port, after it was killed."""
        port = int(self.url.rsplit(":")[-1].split("/")[0])
        self.process, self.url, self.metrics_url = self._started(self.command, self.folder, port, self.settings)

    def kill(self) -> None:
        """End it as a power cut would, without the jobs that it has started."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it as an administrator would."""
        self.process.terminate()
        self.process.wait(30)

    def log(self) -> str:
        """All that it has said."""
        return (self.folder / "server.log").read_text()

    @staticmethod
    def _started(
        words: Sequence[str], folder: Path, port: int, settings: Mapping[str, str]
    ) -> tuple[subprocess.Popen[str], str, str]:
        folder.mkdir(exist_ok=True)
        log = folder / "server.log"
        said = len(log.read_text()) if log.exists() else 0
        with log.open("a") as output:
            process = subprocess.Popen(
                [*words, "--port", str(port)], stdout=output, stderr=output, text=True, env=_environment() | settings
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            lines = log.read_text()[said:].splitlines()
            found = {words[0]: words[-1] for line in lines if " at http" in line and (words := line.split())}
            if "vemseg" in found:
                return process, found["vemseg"], found["metrics"]
            time.sleep(0.1)
        raise AssertionError(f"the application did not start:\n{log.read_text()}")

    def fetch(self, path: str) -> bytes:
        """What a GET without a cookie brings."""
        with urlopen(f"{self.url}{path}") as answer:
            content: bytes = answer.read()
        return content

    def metrics(self) -> str:
        """What Prometheus is told."""
        with urlopen(self.metrics_url) as answer:
            content: bytes = answer.read()
        return content.decode()


def _environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("VEMSEG_APP_", "STREAMLIT_"))}
    return own | {"OMP_NUM_THREADS": "1"}


@contextmanager
def serving(model: Path, folder: Path, *options: str, **settings: object) -> Iterator[AppServer]:
    """A server for a while. Its jobs end before it does, or it would not know of them."""
    server = AppServer.start(model, folder, *options, **settings)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
