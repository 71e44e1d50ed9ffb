"""What the client of a cluster decides by itself: addresses, parameters, the tree of nodes, lost connections, files.

Connections that fail are scripted: a list says what each call answers, and calls are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_cluster import SPEC

from pipeline.argo import cluster
from pipeline.argo.cluster.api import NotFoundError, refused
from pipeline.argo.cluster.connection import ServerAddress
from pipeline.argo.cluster.receiving import RemoteFile, place_of, receive
from pipeline.argo.cluster.status import follow, pod_name, status_of
from pipeline.argo.resolution import fans_out, merged
from pipeline.errors import ClusterError, DataError, InputError, StorageError, WorkflowError
from pipeline.volume.stores import Store

Object = dict[str, Any]


# Where the server is


@pytest.mark.parametrize(
    ("more", "url", "verify"),
    [
        ({}, "https://argo:2746", True),
        ({"ARGO_SECURE": "false"}, "http://argo:2746", True),
        ({"ARGO_BASE_HREF": "/argo/"}, "https://argo:2746/argo", True),
        ({"ARGO_INSECURE_SKIP_VERIFY": "true"}, "https://argo:2746", False),
    ],
)
def test_the_servers_address(more: dict[str, str], url: str, verify: bool) -> None:
    address = ServerAddress.of({"ARGO_SERVER": "argo:2746", "ARGO_TOKEN": "Bearer x", **more})
    assert address == ServerAddress(url, "Bearer x", verify)
    assert ServerAddress.of({}) is None


@pytest.mark.parametrize("wrong", [{"ARGO_SERVER": "https://argo"}, {"ARGO_SERVER": "a:1", "ARGO_SECURE": "maybe"}])
def test_a_wrong_address_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(InputError, match=next(reversed(wrong))):
        ServerAddress.of(wrong)


def test_without_a_cluster_the_message_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(InputError, match="ARGO_SERVER"):
        cluster.connect({})


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (404, "404 page not found\n", InputError, "administrator"),
        (404, '{"message": "it is not there", "details": {"name": "x"}}', NotFoundError, "not there"),
        (401, "", InputError, "ARGO_TOKEN"),
        (403, '{"message": "no pods/exec for you"}', InputError, "pods/exec"),
        (400, '{"error": {"message": "too old"}}', InputError, "too old"),
        (503, "", ClusterError, "503"),
        (429, "", ClusterError, "429"),
    ],
)
def test_refusals(status: int, body: str, kind: type[Exception], says: str) -> None:
    error = refused("it", status, body, "reason")
    assert type(error) is kind
    assert says in str(error)


# What is submitted


def _source(tmp_path: Path, text: str = SPEC) -> cluster.Source:
    path = tmp_path / "w.yaml"
    path.write_text(text)
    return cluster.from_file(path)


@dataclass
class Created:
    """A cluster that takes everything and shows what it was given."""

    namespace: str = "here"
    objects: list[Object] = field(default_factory=list)

    def create(self, workflow: Object) -> Object:
        self.objects.append(workflow)
        return workflow


def test_given_parameters_replace_those_of_the_file(tmp_path: Path) -> None:
    created = Created()
    cluster.submit(created, _source(tmp_path), {"run": "/data/x", "code": "3"}, None)  # type: ignore[arg-type]
    workflow = created.objects[0]
    values = {p["name"]: p.get("value") for p in workflow["spec"]["arguments"]["parameters"]}
    assert values == {"run": "/data/x", "code": "3", "seconds": "1", "claim": "data"}
    assert (workflow["kind"], workflow["metadata"]) == ("Workflow", {"generateName": "small-"})


@pytest.mark.parametrize(
    ("given_values", "says"),
    [
        ({}, "-p run="),
        ({"run": "/r", "cod": "3"}, "no parameter 'cod'"),
        ({"run": "/r", "code": "4"}, "one of 0, 3"),
        ({"run": "runs/first"}, "/data/runs/first"),
        ({"run": "/data/{{workflow.name}}"}, "submit it by its name"),
    ],
)
def test_wrong_parameters_are_refused(tmp_path: Path, given_values: dict[str, str], says: str) -> None:
    with pytest.raises(WorkflowError, match=says):
        cluster.submit(Created(), _source(tmp_path), given_values, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["a: [", "", "kind: Pod", SPEC.replace("name: small", "name: s, namespace: there")])
def test_files_that_cannot_be_submitted(tmp_path: Path, text: str) -> None:
    with pytest.raises(WorkflowError, match=r"w\.yaml"):
        _source(tmp_path, text)


@pytest.mark.parametrize(
    ("tasks", "found"),
    [
        ([{"name": "a"}, {"name": "b", "depends": "a"}, {"name": "c", "depends": "b.Failed"}], ""),
        ([{"name": "a"}, {"name": "b"}], "a"),
        ([{"name": "a"}, {"name": "b", "dependencies": ["a"], "withParam": "[]"}], "b"),
        ([{"name": "a"}, {"name": "b", "depends": "a"}, {"name": "c", "depends": "a"}], "b"),
    ],
)
def test_tasks_that_run_side_by_side(tasks: list[Object], found: str) -> None:
    assert fans_out({"templates": [{"name": "main", "dag": {"tasks": tasks}}]}) == found


def test_patches_merge_as_kubernetes_merges_them() -> None:
    pod = {"containers": [{"name": "main", "env": [{"name": "A", "value": "1"}]}], "tolerations": [{"key": "x"}]}
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "c"}}
    patch = {
        "containers": [{"name": "main", "env": [{"name": "B"}]}, {"name": "wait"}],
        "tolerations": [],
        "volumes": [{"name": "data", "emptyDir": {}, "$retainKeys": ["name", "emptyDir"]}],
    }
    assert merged({**pod, "volumes": [volume], "gone": 1}, {**patch, "gone": None}) == {
        "containers": [{"name": "main", "env": [{"name": "B"}, {"name": "A", "value": "1"}]}, {"name": "wait"}],
        "tolerations": [],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    listed = [{"name": name} for name in "abcd"]
    patches = [{"name": "d"}, {"name": "new"}, {"name": "a", "$patch": "delete"}, {"name": "c", "value": 1}]
    expected = [{"name": "b"}, {"name": "d"}, {"name": "new"}, {"name": "c", "value": 1}]
    assert merged({"volumes": listed}, {"volumes": patches}) == {"volumes": expected}
    assert merged({"volumes": listed}, {"volumes": [{"$patch": "replace"}, {"name": "e"}]}) == {
        "volumes": [{"name": "e"}]
    }


# The tree of nodes


def test_pods_are_named_as_argo_names_them() -> None:
    """Names taken from a real controller (4.0.7)."""
    assert pod_name("probe-7b5k9", "probe-7b5k9.f(0)", "bad") == "probe-7b5k9-bad-1868446043"
    assert pod_name("probe-7b5k9", "probe-7b5k9.m(1:y z).i(0)", "c") == "probe-7b5k9-c-767497948"
    assert pod_name("alone", "alone", "main") == "alone"


def _node(name: str, kind: str, phase: str, boundary: str = "", **more: Any) -> Object:
    fields = {"id": f"id-{name}", "name": name, "type": kind, "phase": phase, "templateName": "t"}
    return {**fields, "boundaryID": boundary and f"id-{boundary}", "startedAt": "2026-01-01T00:00:00Z", **more}


def test_nodes_hang_where_they_belong() -> None:
    nodes = [
        _node("w", "DAG", "Running", progress="3/9"),
        _node("w.a", "TaskGroup", "Running", "w"),
        _node("w.a(10:x)", "Retry", "Running", "w"),
        _node("w.a(10:x)(0)", "Pod", "Failed", "w", outputs={"exitCode": "75"}, progress="4/7"),
        _node("w.a(10:x)(1)", "Pod", "Pending", "w", progress="0/1"),
        _node("w.a(2:y)", "DAG", "Running", "w"),
        _node("w.a(2:y).b", "Pod", "Succeeded", "w.a(2:y)", finishedAt="2026-01-01T00:01:00Z"),
    ]
    workflow = {"metadata": {"name": "w"}, "status": {"phase": "Running", "nodes": {n["id"]: n for n in nodes}}}
    status = status_of(workflow)
    parents = {name: node.parent for name, node in status.nodes.items()}
    assert parents == {
        "w": None,
        "w.a": "w",
        "w.a(10:x)": "w.a",
        "w.a(10:x)(0)": "w.a(10:x)",
        "w.a(10:x)(1)": "w.a(10:x)",
        "w.a(2:y)": "w.a",
        "w.a(2:y).b": "w.a(2:y)",
    }
    assert list(status.nodes).index("w.a(2:y)") < list(status.nodes).index("w.a(10:x)")
    failed, waiting = status.nodes["w.a(10:x)(0)"], status.nodes["w.a(10:x)(1)"]
    assert (failed.exit_code, failed.progress, waiting.progress, waiting.started_at) == (75, "4/7", "", None)
    assert status.nodes["w"].progress == ""
    assert set(status.pods) == {"w.a(10:x)(0)", "w.a(10:x)(1)", "w.a(2:y).b"}


# Lost connections


def _workflow(phase: str) -> Object:
    return {"metadata": {"name": "w"}, "status": {"phase": phase}}


@dataclass
class Scripted:
    """Answers from lists: a phase, or an error to raise; a change of `None` ends the stream."""

    gets: list[str | Exception]
    streams: list[list[str | Exception | None]]
    namespace: str = "n"
    calls: int = 0

    def get(self, name: str) -> Object:
        self.calls += 1
        return _answered(self.gets.pop(0))

    def changes(self, name: str) -> Iterator[Object]:
        for item in self.streams.pop(0):
            if item is None:
                return
            yield _answered(item)


def _answered(item: str | Exception) -> Object:
    if isinstance(item, Exception):
        raise item
    return _workflow(item)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.argo.cluster.status._PAUSE_SECONDS", (0.0,))


LOST, OLD = ClusterError("lost"), InputError("too old resource version")


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(
    ("gets", "streams", "phases", "notes"),
    [
        (["Running"], [["Running", "Succeeded"]], ["Running", "Running", "Succeeded"], 0),
        (["Running", "Failed"], [["Running", None]], ["Running", "Running", "Failed"], 0),
        (["Running", "Running"], [[OLD], ["Error"]], ["Running", "Running", "Error"], 0),
        (["Running", LOST, LOST, "Succeeded"], [["Running", LOST]], ["Running", "Running", "Succeeded"], 2),
    ],
)
def test_a_workflow_is_followed_over_breaks(
    gets: list[str | Exception], streams: list[list[str | Exception | None]], phases: list[str], notes: int
) -> None:
    said: list[str] = []
    seen = [status.phase for status in follow(Scripted(list(gets), streams), "w", note=said.append)]  # type: ignore[arg-type]
    assert seen == phases
    assert len(said) == notes


@pytest.mark.usefixtures("no_pauses")
def test_a_deleted_workflow_and_a_lost_cluster_end_the_following() -> None:
    gone = Scripted(["Running", NotFoundError("no such workflow")], [[None]])
    with pytest.raises(InputError, match="deleted while it ran"):
        list(follow(gone, "w", note=lambda _: None))  # type: ignore[arg-type]
    lost = Scripted([LOST] * 3, [])
    with pytest.raises(ClusterError):
        list(follow(lost, "w", note=lambda _: None, patience_seconds=0.0))  # type: ignore[arg-type]
    assert lost.calls == 1


# Files


@dataclass
class Shelf:
    """Files to fetch; `breaks` are the places in the order of reading at which the connection is lost, once each."""

    content: dict[str, bytes]
    breaks: list[int] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)

    def files(self, folders: Iterable[str]) -> list[RemoteFile]:
        wanted = tuple(f"{folder}/" for folder in folders)
        names = [name for name in self.content if not wanted or name.startswith(wanted)]
        return [RemoteFile(name, len(self.content[name]), 1_700_000_000) for name in names]

    def contents(self, files: list[RemoteFile]) -> Iterator[tuple[RemoteFile, Iterator[bytes]]]:
        for file in files:
            yield file, self._read(file.name)

    def _read(self, name: str) -> Iterator[bytes]:
        data = self.content[name]
        yield data[: len(data) // 2]
        if self.breaks and len(self.sent) == self.breaks[0]:
            self.breaks.pop(0)
            raise ClusterError("lost")
        yield data[len(data) // 2 :]
        self.sent.append(name)


def _fetch(shelf: Shelf, target: Path, *folders: str) -> tuple[int, int]:
    received = receive(shelf, folders, target, lambda *_: None)
    return received.files, received.there_already


CONTENT = {"evaluation/a b.csv": b"12345", "models/x/w": b"", "predictions/c/0/0": b"\0" * 9}


def test_each_file_comes_once_over_breaks_and_calls(tmp_path: Path) -> None:
    shelf = Shelf(CONTENT, breaks=[0, 1])
    assert _fetch(shelf, tmp_path, "evaluation", "models") == (2, 0)
    assert _fetch(shelf, tmp_path) == (1, 2)
    assert sorted(shelf.sent) == sorted(CONTENT)
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == CONTENT
    (tmp_path / "evaluation/a b.csv").write_bytes(b"54321")
    assert _fetch(shelf, tmp_path) == (1, 2)


def test_a_connection_that_brings_nothing_is_given_up_and_leaves_no_part(tmp_path: Path) -> None:
    shelf = Shelf(CONTENT, breaks=[0] * 9)
    with pytest.raises(ClusterError):
        _fetch(shelf, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    shelf.breaks = []
    assert _fetch(shelf, tmp_path) == (3, 0)


def test_a_file_that_changes_meanwhile_is_not_taken(tmp_path: Path) -> None:
    shelf = Shelf({"a": b"123"})
    listed = shelf.files(())
    shelf.content["a"] = b"12345"
    shelf.files = lambda folders: listed  # type: ignore[method-assign]
    with pytest.raises(StorageError, match="changed"):
        _fetch(shelf, tmp_path)
    assert not (tmp_path / "a").exists()


@given(st.lists(st.sampled_from(["a", "..", ".", "", "/", "b c", "~"]), min_size=1, max_size=5).map("/".join))
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    folder = Path("/nowhere/at/all")
    try:
        place = place_of(name, folder)
    except DataError:
        return
    assert place.resolve().is_relative_to(folder)
    assert place != folder


@pytest.mark.parametrize("name", ["/etc/passwd", "../a", "a/../../b", "", "a\\b", "linked/a"])
def test_names_that_lead_out_are_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    target, outside = tmp_path / "target", tmp_path / "outside"
    target.mkdir()
    outside.mkdir()
    (target / "linked").symlink_to(outside)
    with pytest.raises(DataError):
        _fetch(Shelf({"good": b"1", name: b"2"}), target)
    assert not (target / "good").exists()
    assert list(outside.iterdir()) == []


def test_a_run_in_a_bucket_is_pulled_without_a_cluster(tmp_path: Path, bucket: str) -> None:
    url = f"{bucket}/runs/first"
    for name, data in CONTENT.items():
        Store.open(url).write(name, data)

    def pull(everything: bool) -> tuple[int, int]:
        received = cluster.pull(
            url, tmp_path, everything=everything, workflows=_none, cluster=_none, report=lambda *_: None
        )
        return received.files, received.there_already

    assert pull(False) == (2, 0)
    assert pull(True) == (1, 2)
    assert {name: (tmp_path / name).read_bytes() for name in CONTENT} == CONTENT
    with pytest.raises(InputError, match="no results"):
        cluster.pull(f"{url}/x", tmp_path, everything=True, workflows=_none, cluster=_none, report=lambda *_: None)


def _none() -> Any:
    raise AssertionError("no cluster is needed")
