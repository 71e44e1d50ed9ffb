"""What the application's tests share: settings in a folder of their own, a small model, small volumes, uploads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tinystudy import VOXEL_SIZE_NM, place, tissue
from webapp_support import MakeJob, MakeSettings, look, slices, uploaded, zipped

from pipeline.run.layout import Run
from pipeline.webapp import catalogue
from pipeline.webapp.catalogue import ModelCard
from pipeline.webapp.jobs import Job, JobStore
from pipeline.webapp.settings import Settings


@pytest.fixture(scope="session")
def stack() -> bytes:
    """A zip of four slices, as a biologist makes it."""
    grey, _ = tissue((4, 64, 96), seed=3)
    return zipped(slices(grey))


@pytest.fixture(scope="session")
def model(finished: Run) -> ModelCard:
    """A model of three classes."""
    return catalogue.models([str(place(finished))])[0]


@pytest.fixture
def make_settings(tmp_path: Path, finished: Run) -> MakeSettings:
    """Settings with a data folder of this test; options override."""

    def make(**options: Any) -> Settings:
        return Settings.of({}, **{"data": tmp_path / "data", "models": (str(place(finished)),), "cores": 1} | options)

    return make


@pytest.fixture
def make_job(stack: bytes, model: ModelCard) -> MakeJob:
    """Order the segmentation of the stack; in a queue that nobody works off, unless a worker is there."""

    def make(settings: Settings, owner: str = "anna", content: bytes = stack, **options: Any) -> Job:
        upload = uploaded(settings, content, owner=owner)
        given = {"voxel_size_nm": VOXEL_SIZE_NM, "upload": upload} | options
        return JobStore(settings).create(owner, look(settings, upload), model, **given)

    return make
