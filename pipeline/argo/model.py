"""A workflow as plain immutable data; every object knows the file and line it stands on.

Fields that may hold `{{tags}}` stay text until the tags are replaced (see `templating`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.argo.items import Item
from pipeline.argo.yamlfile import Object, Where


@dataclass(frozen=True)
class Parameter:
    """An input, an argument or an output. `value` wins over `default`; where both are absent it must be given."""

    where: Where
    name: str
    value: str | None = None
    default: str | None = None
    enum: tuple[str, ...] = ()
    path: str | None = None  # output: the file that holds the value
    source: str | None = None  # output of a dag: the tag of a task's output
    config_map_key: str | None = None  # "name/key"
    description: str = ""


@dataclass(frozen=True)
class Mount:
    """Volume `volume` seen at `path` inside the container."""

    where: Where
    volume: str
    path: str
    sub_path: str = ""


@dataclass(frozen=True)
class Volume:
    """A directory: of the claim `claim`, or fresh for each pod where that is `None`."""

    where: Where
    name: str
    claim: str | None


@dataclass(frozen=True)
class Container:
    """What runs: `command` and `args` as one process, `env` as (name, value) pairs; `None`: as the caller has it."""

    where: Where
    command: tuple[str, ...]
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str | None], ...] = ()
    working_dir: str | None = None
    mounts: tuple[Mount, ...] = ()


@dataclass(frozen=True)
class Sequence:
    """`withSequence`: whole numbers as text; `format` is a printf format of one integer."""

    where: Where
    count: str | None
    start: str | None
    end: str | None
    format: str


@dataclass(frozen=True)
class Task:
    """A node of a DAG. At most one of `items`, `param` and `sequence` makes it a loop."""

    where: Where
    name: str
    template: str
    arguments: tuple[Parameter, ...] = ()
    depends: str = ""
    when: str = ""
    items: tuple[Item, ...] | None = None
    param: str | None = None
    sequence: Sequence | None = None
    continue_on: tuple[str, ...] = ()  # phases that count as fine: Failed, Error

    @property
    def is_loop(self) -> bool:
        return self.items is not None or self.param is not None or self.sequence is not None


@dataclass(frozen=True)
class Dag:
    where: Where
    tasks: tuple[Task, ...]
    fail_fast: bool = True

    def task(self, name: str) -> Task:
        return next(task for task in self.tasks if task.name == name)


@dataclass(frozen=True)
class Retry:
    """When a failed node is tried again. Durations are texts such as `30` (seconds), `2m`, `1h30m`."""

    where: Where
    limit: str | None = None
    policy: str = "OnFailure"
    expression: str = ""
    backoff_duration: str | None = None
    backoff_factor: str | None = None
    backoff_max_duration: str | None = None
    backoff_cap: str | None = None


@dataclass(frozen=True)
class Template:
    """A container or a DAG, with its inputs and outputs. `locks` are `name/key` semaphores and `mutex name`s.

    A DAG that `is_nested` stands for a workflow of its own (see `reading`).
    """

    where: Where
    name: str
    inputs: tuple[Parameter, ...] = ()
    outputs: tuple[Parameter, ...] = ()
    container: Container | None = None
    dag: Dag | None = None
    is_nested: bool = False
    volumes: tuple[Volume, ...] = ()
    active_deadline_seconds: str | None = None
    timeout: str | None = None
    retry: Retry | None = None
    parallelism: int | None = None
    locks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Workflow:
    """A whole file. `generate_name` is the prefix of the run's name where `name` is empty; `spec` is as it was read."""

    where: Where
    name: str
    generate_name: str
    entrypoint: str
    templates: dict[str, Template]
    parameters: tuple[Parameter, ...] = ()
    volumes: tuple[Volume, ...] = ()
    parallelism: int | None = None
    active_deadline_seconds: int | None = None
    on_exit: str | None = None
    no_meaning: dict[str, list[int]] = field(default_factory=dict)  # field -> lines
    spec: Object = field(default_factory=dict)
