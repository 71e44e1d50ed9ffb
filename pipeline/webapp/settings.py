"""What a site decides about its application: from the command line, else from ``VEMSEG_APP_<FIELD>`` variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator

from pipeline.errors import ConfigError
from pipeline.volume.sources.policy import GIBIBYTE, STRANGER, Policy

PREFIX = "VEMSEG_APP_"
LISTS = ("models", "folders", "trusted_proxies", "allowed_hosts")


class Settings(BaseModel):
    """The settings of one application. Lists are written with commas in a variable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path
    """Folder of uploads and jobs; nothing is written outside it."""
    models: tuple[str, ...]
    """Trained models: a run URL (all of its targets), or a run's models/<target>."""
    folders: tuple[str, ...] = ()
    """Where volumes may lie that users name instead of uploading them: folders, or s3://bucket/prefix."""
    example: Path | None = None
    """A volume that the first page offers to whoever has none at hand; None offers none."""
    upload_bytes: PositiveInt = 50 * GIBIBYTE
    """Largest file that may be uploaded."""
    volume_bytes: PositiveInt = 200 * GIBIBYTE
    """Most voxel data that a file may unpack to."""
    archive_entries: PositiveInt = 20_000
    """Most files in an archive."""
    archive_ratio: Annotated[float, Field(gt=1)] = 100.0
    """Most unpacked bytes a packed byte; far above what microscope images reach."""
    jobs_at_once: PositiveInt = 1
    """Jobs that run side by side; the others wait in the order in which they came."""
    waiting_per_owner: PositiveInt = 20
    """Jobs that one user may have waiting, and uploads that are no job yet."""
    waiting_in_all: PositiveInt = 500
    """Jobs that may wait, and uploads that are no job yet, of all users together."""
    owners_per_address: PositiveInt = 3
    """Where users are not signed in: one network address may have as much as so many users, however many it claims."""
    job_hours: Annotated[float, Field(gt=0, le=10_000)] = 72.0
    """A job that has run so long is ended, so that others get their turn."""
    cores: PositiveInt | None = None
    """Cores for all jobs together; None takes those of this process."""
    retention_days: Annotated[float, Field(gt=0)] = 14.0
    """Jobs, and uploads that became none, go so long after they ended."""
    owner_quota_bytes: PositiveInt = 100 * GIBIBYTE
    """What one user may have here; beyond it that user's oldest jobs that have ended go, but never the last one."""
    quota_bytes: PositiveInt = 500 * GIBIBYTE
    """What all users may have here together; beyond it uploads are refused."""
    user_header: str | None = None
    """HTTP header in which a proxy in front says who the user is; None tells users apart by their browser's session."""
    session_days: Annotated[float, Field(gt=0, le=400)] = 30.0
    """A browser's session ends when the application was not opened in it for so long."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses of proxies in front, or networks of them: who asks, and under which name, is what they hand on."""
    allowed_hosts: tuple[str, ...] = ()
    """Names by which browsers may reach the application, beside those of this machine and of `host`."""
    executor: Literal["local", "cluster"] = "local"
    """Whether jobs run as processes of this machine, or as workflows of the cluster that the environment names."""
    cluster_data: str | None = None
    """Where the pods of the cluster see `data`, on the volume claim that they share with it; None: at the same path."""
    cluster_parameters: dict[str, str] = Field(default_factory=dict)
    """Parameters of the workflows for every job on the cluster, such as claim or gpus; in a variable name=value,..."""
    base_path: str = ""
    """Path at which a proxy in front serves the application, such as /segment."""
    host: str = "127.0.0.1"
    """Address to listen at."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8501
    """Port to listen at; 0 takes a free one."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Port for Prometheus, at the same address; 0 takes a free one, None serves no metrics."""

    @property
    def policy(self) -> Policy:
        """How the files of users are read."""
        limits = replace(
            STRANGER.limits, files=self.archive_entries, total_bytes=self.volume_bytes, ratio=self.archive_ratio
        )
        return replace(STRANGER, limits=limits)

    @property
    def jobs_folder(self) -> Path:
        """Where each job has its folder."""
        return self.data / "jobs"

    @property
    def uploads_folder(self) -> Path:
        """Where uploads lie that are no job yet."""
        return self.data / "uploads"

    @classmethod
    def of(cls, environment: Mapping[str, str], **options: Any) -> Settings:
        """The settings from ``VEMSEG_APP_*``; `options` that are not None come first.

        Raises ConfigError naming the variable, or option, and what is wrong with it.
        """
        values = {
            name: _from_text(name, environment[PREFIX + name.upper()])
            for name in cls.model_fields
            if environment.get(PREFIX + name.upper())
        }
        values |= {name: value for name, value in options.items() if value is not None}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError("; ".join(_complaint(each) for each in error.errors())) from error

    @field_validator("data", "example")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            ip_network(each, strict=False)
        return value

    @field_validator("base_path")
    @classmethod
    def _one_leading_slash(cls, value: str) -> str:
        inside = value.strip("/")
        return f"/{inside}" if inside else ""


def _from_text(name: str, text: str) -> object:
    if name in LISTS:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if name == "cluster_parameters":
        return dict(part.strip().partition("=")[::2] for part in text.split(",") if part.strip())
    return text


def _complaint(error: Mapping[str, Any]) -> str:
    name = str(error["loc"][0])
    given = "" if error["type"] == "missing" else f" is {error['input']!r}"
    return f"--{name.replace('_', '-')} ({PREFIX}{name.upper()}){given}: {error['msg']}"
