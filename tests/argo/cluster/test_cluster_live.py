"""Workflows on a real cluster, through Argo's server and through the Kubernetes API alike.

Left out on purpose: the restart of the controller and the loss of pods, which the end-to-end tests of the study have.
"""

from __future__ import annotations

import io
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import kubernetes
import pytest
from rich.console import Console
from small_cluster import Line, kubectl

from pipeline.argo import cluster, exit_code, for_console, load, run
from pipeline.argo.cluster.kube import Cluster
from pipeline.argo.cluster.status import status_of
from pipeline.argo.view import Silent
from pipeline.errors import InputError, WorkflowError

Written = list[str]

WRITE_RESULTS = """cd {{workflow.parameters.run}}; mkdir -p evaluation/figures models/multilabel predictions
        yes 1 | head -n 100000 > evaluation/scores.csv; printf 2 > 'evaluation/figures/a b.png'
        touch models/multilabel/model.json; printf 3 > predictions/c"""


@pytest.fixture
def around(environment: dict[str, str], namespace: str) -> Iterator[Cluster]:
    with closing(cluster.kubernetes(environment, namespace)) as connected:
        yield connected


def _start(workflows: cluster.Workflows, source: cluster.Source, **parameters: str) -> str:
    """Submit, and return the name."""
    return str(cluster.submit(workflows, source, parameters, None)["metadata"]["name"])


def test_a_workflow_is_followed_to_the_same_end_as_on_a_laptop(
    workflows: cluster.Workflows, small: Path, tmp_path: Path
) -> None:
    given = {"run": f"/data/{tmp_path.name}", "code": "3"}
    printed = io.StringIO()
    name = _start(workflows, cluster.from_file(small), **given)
    outcome = cluster.watch(workflows, name, for_console(Console(file=printed, width=300)))
    here = run(load(small), given, state_dir=tmp_path / "state", volumes={"data": tmp_path / "claim"})
    assert {_plain(n, name): (o.type, o.phase) for n, o in outcome.nodes.items()} == {
        _plain(n, next(iter(here.nodes))): (o.type, o.phase) for n, o in here.nodes.items()
    }
    assert {_plain(n, name): _plain(o.parent or "", name) for n, o in outcome.nodes.items()} == {
        _plain(n, next(iter(here.nodes))): _plain(o.parent or "", next(iter(here.nodes))) for n, o in here.nodes.items()
    }
    assert (outcome.phase, exit_code(outcome)) == (here.phase, exit_code(here)) == ("Failed", 3)
    text = printed.getvalue()
    assert f"{name}.work(0:1) Succeeded" in text
    assert "main: Error (exit code 3)" in text
    assert "the reason" in text


def _plain(node: str, workflow: str) -> str:
    return node.removeprefix(workflow)


def test_logs_of_a_node_a_task_and_all(workflows: cluster.Workflows, small: Path, tmp_path: Path) -> None:
    name = _start(workflows, cluster.from_file(small), run=f"/data/{tmp_path.name}")
    lines = ["line 1", "line 2", "line 3"]
    assert sorted(_logs(workflows, name, "work", follow_on=True)) == sorted(
        f"{node}: {line}" for node in ("work(0:1)", "work(1:2)") for line in lines
    )
    cluster.watch(workflows, name, Silent())
    assert _logs(workflows, name, "work(1:2)") == lines
    assert _logs(workflows, name, f"{name}.work(1:2)") == lines
    assert {"last(0): the reason", "onExit: bye"} <= set(_logs(workflows, name, None))
    with pytest.raises(InputError, match="it has"):
        _logs(workflows, name, "elsewhere")


def _logs(workflows: cluster.Workflows, name: str, node: str | None, *, follow_on: bool = False) -> Written:
    written: Written = []
    cluster.print_logs(workflows, name, node, written.append, follow_on=follow_on, note=lambda _text: None)
    return written


def test_stopping_lets_the_exit_handler_run(workflows: cluster.Workflows, small: Path, tmp_path: Path) -> None:
    name = _start(workflows, cluster.from_file(small), run=f"/data/{tmp_path.name}", seconds="60")
    with pytest.raises(InputError, match="not ended"):
        cluster.resume(workflows, name)
    _until(lambda: any(node.phase == "Running" for node in _pods(workflows, name)))
    cluster.stop(workflows, name, terminate=False)
    stopped = cluster.watch(workflows, name, Silent())
    assert stopped.phase == "Failed"
    assert stopped.nodes[f"{name}.onExit"].phase == "Succeeded"
    with pytest.raises(InputError, match="ended already"):
        cluster.stop(workflows, name, terminate=True)


def test_a_failed_workflow_goes_on(workflows: cluster.Workflows, small: Path, tmp_path: Path) -> None:
    name = _start(workflows, cluster.from_file(small), run=f"/data/{tmp_path.name}", code="3")
    assert cluster.watch(workflows, name, Silent()).phase == "Failed"
    again = str(cluster.resume(workflows, name)["metadata"]["name"])
    assert cluster.watch(workflows, again, Silent()).phase == "Succeeded"
    with pytest.raises(InputError, match="nothing to go on"):
        cluster.resume(workflows, again)


def _pods(workflows: cluster.Workflows, name: str) -> list[object]:
    status = status_of(workflows.get(name))
    return [status.nodes[node] for node in status.pods]


def _until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.2)


def test_terminating_leaves_out_the_exit_handler(workflows: cluster.Workflows, small: Path, tmp_path: Path) -> None:
    name = _start(workflows, cluster.from_file(small), run=f"/data/{tmp_path.name}", seconds="60")
    _until(lambda: any(node.phase == "Running" for node in _pods(workflows, name)))
    cluster.stop(workflows, name, terminate=True)
    assert f"{name}.onExit" not in cluster.watch(workflows, name, Silent()).nodes


def test_an_installed_template_is_submitted(workflows: cluster.Workflows, small: Path, namespace: str) -> None:
    with pytest.raises(InputError, match="no workflow template 'vemseg-study'"):
        cluster.from_template(workflows, "vemseg-study")
    kubectl("-n", namespace, "apply", "-f", str(small))
    source = cluster.from_template(workflows, "small")
    for wrong, said in (({}, "-p run="), ({"run": "/data/x", "rnu": "1"}, "no parameter 'rnu'")):
        with pytest.raises(WorkflowError, match=said):
            _start(workflows, source, **wrong)
    name = _start(workflows, source, run=f"/data/template-{os.getpid()}-{id(workflows)}")
    outcome = cluster.watch(workflows, name, Silent())
    assert (name.startswith("small-"), outcome.phase) == (True, "Succeeded")


@pytest.mark.parametrize("way", ["server", "kubernetes"])
def test_a_broken_connection_is_survived(
    way: str, namespace: str, small: Path, tmp_path: Path, line: Callable[[str], Line]
) -> None:
    """The line is cut again and again, and dead for a while; the end is seen, and each line of the logs once."""
    configuration = _configuration()
    cut = line(configuration.host.removeprefix("https://") if way == "kubernetes" else os.environ["ARGO_SERVER"])
    configuration.host = f"https://127.0.0.1:{cut.port}"
    cable = {**os.environ, "ARGO_SERVER": f"127.0.0.1:{cut.port}"}
    over_it = cluster.connect(cable, namespace) if way == "server" else _cluster(configuration, namespace)
    printed, lines, cuts = io.StringIO(), Written(), list[int]()
    with closing(over_it) as workflows:
        name = _start(workflows, cluster.from_file(small), run=f"/data/{tmp_path.name}", seconds="4")
        threading.Thread(target=_trouble, args=(cut, cuts), daemon=True).start()
        target = lambda: lines.extend(_logs(workflows, name, "work", follow_on=True))  # noqa: E731
        reader = threading.Thread(target=target, daemon=True)
        reader.start()
        outcome = cluster.watch(workflows, name, for_console(Console(file=printed, width=200)))
        reader.join(60)
    assert outcome.phase == "Succeeded"
    assert sum(cuts) > 0
    assert "the cluster answers again" in printed.getvalue()
    assert sorted(lines) == sorted(f"{node}: line {i}" for node in ("work(0:1)", "work(1:2)") for i in (1, 2, 3))


def _configuration() -> kubernetes.client.Configuration:
    configuration = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(client_configuration=configuration)
    configuration.retries = False
    return configuration


def _cluster(configuration: kubernetes.client.Configuration, namespace: str) -> Cluster:
    return Cluster(kubernetes.client.ApiClient(configuration), namespace)


def _trouble(line: Line, cuts: list[int]) -> None:
    for dead_seconds in (0.0, 4.0, 0.0):
        time.sleep(4)
        line.dead = dead_seconds > 0
        cuts.append(line.cut())
        time.sleep(dead_seconds)
        line.dead = False


def test_a_cluster_out_of_reach_is_given_up(namespace: str, line: Callable[[str], Line]) -> None:
    gone = line("127.0.0.1:9")
    gone.dead = True
    workflows = cluster.connect({"ARGO_SERVER": f"127.0.0.1:{gone.port}", "ARGO_SECURE": "false"}, namespace)
    with closing(workflows), pytest.raises(ConnectionError, match="does not answer"):
        cluster.watch(workflows, "any", Silent(), patience_seconds=1.0)


def test_a_claim_for_one_node_is_refused_unless_pinned(around: Cluster, namespace: str, small: Path) -> None:
    """By a user who may not look at the nodes, and so cannot know that there is only one."""
    workflows, given = around, {"run": "/data/x", "claim": "block"}
    with pytest.raises(InputError, match="no volume claim 'none'"):
        cluster.submit(workflows, cluster.from_file(small), {**given, "claim": "none"}, around)
    assert around.has_one_node()
    with closing(_as_somebody_with_rights_here_only(namespace)) as lab:
        _check_as(lab, small, given)


def _check_as(lab: Cluster, small: Path, given: dict[str, str]) -> None:
    assert not lab.has_one_node()
    with pytest.raises(InputError, match="ReadWriteOnce"):
        cluster.submit(lab, cluster.from_file(small), given, lab)
    pin = "nodeSelector: {kubernetes.io/hostname: no-such-node}"
    small.write_text(small.read_text().replace("volumes:", f"{pin}\n  volumes:", 1))
    created = cluster.submit(lab, cluster.from_file(small), given, lab)
    cluster.stop(lab, created["metadata"]["name"], terminate=True)


def _as_somebody_with_rights_here_only(namespace: str) -> Cluster:
    name, where = f"lab-{uuid.uuid4().hex[:8]}", ("-n", namespace, "create")
    account = f"--serviceaccount={namespace}:{name}"
    kubectl(*where, "serviceaccount", name)
    kubectl(*where, "rolebinding", name, "--clusterrole=admin", account)
    kubectl(*where, "role", name, "--verb=create,get,list,watch,patch", "--resource=workflows.argoproj.io")
    kubectl(*where, "rolebinding", f"{name}-workflows", f"--role={name}", account)
    configuration = _configuration()
    configuration.cert_file = configuration.key_file = None
    configuration.api_key = {"authorization": f"Bearer {kubectl(*where, 'token', name).strip()}"}
    return _cluster(configuration, namespace)


def test_results_are_pulled_off_the_claim(
    workflows: cluster.Workflows, around: Cluster, small: Path, tmp_path: Path
) -> None:
    files = {
        "evaluation/scores.csv": "1\n" * 100_000,
        "evaluation/figures/a b.png": "2",
        "models/multilabel/model.json": "",
        "predictions/c": "3",
    }
    text = small.read_text().replace("for i in 1 2 3; do", f"{WRITE_RESULTS}\n        for i in 1; do")
    text = text.replace("withItems: [1, 2]", "withItems: [1]")
    small.write_text(text)
    name = _start(workflows, cluster.from_file(small), run=f"/data/{tmp_path.name}")
    assert cluster.watch(workflows, name, Silent()).phase == "Succeeded"
    target = tmp_path / "results"

    def pull(everything: bool) -> tuple[int, int]:
        received = cluster.pull(
            name,
            target,
            everything=everything,
            workflows=lambda: workflows,
            cluster=lambda: around,
            report=lambda *_: None,
        )
        return received.files, received.there_already

    assert pull(False) == (3, 0)
    assert {str(p.relative_to(target)): p.read_text() for p in target.rglob("*") if p.is_file()} == {
        key: value for key, value in files.items() if not key.startswith("predictions")
    }
    (target / "models/multilabel/model.json").unlink()
    (target / "evaluation/figures/a b.png").write_text("other")
    assert pull(False) == (2, 1)
    assert pull(True) == (1, 3)
    assert {key: (target / key).read_text() for key in files} == files
    assert not kubectl(
        "-n", around.namespace, "get", "pods", "-l", "app.kubernetes.io/component=pull", "-o", "name"
    ).strip()
