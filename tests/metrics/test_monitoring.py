"""The alerts and the dashboard speak of what the steps tell: checked by promtool, then by a real Prometheus.

Prometheus scrapes this process while it works through a study. Every expression of the dashboard and of the alerts is
then asked of it; those that need no GPU and no cluster must have an answer. What alerts.yaml fires for is in
alerts_test.yaml. Grafana itself is not run: of the dashboard, structure and expressions are checked.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tinystudy import place, run_chain, write_study

from pipeline.run.layout import Run
from pipeline.run.metrics import PORT_VARIABLE
from pipeline.volume.geometry import Block
from pipeline.volume.omezarr import Volume
from pipeline.webapp import monitoring as webapp

MONITORING = Path(__file__).parents[2] / "charts/vemseg/files/monitoring"
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
ALERTS: dict[str, Any] = yaml.safe_load((MONITORING / "alerts.yaml").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
# What Grafana puts in for its variables; a variable of which everything is chosen becomes the first.
VARIABLES = {"namespace": ".*", "step": ".*", "target": ".*", "__rate_interval": "1m", "__range": "1h"}
# Told by others, as an Argo controller 4.0 and kube-state-metrics name them.
FOREIGN = {
    "ALERTS",
    "argo_workflows_gauge",
    "argo_workflows_pods_gauge",
    "argo_workflows_pods_total_count",
    "argo_workflows_total_count",
    "kube_pod_status_phase",
    "up",
}


def names_in(exposition: str) -> set[str]:
    """The metrics in Prometheus' text format."""
    return {sample.name for family in text_string_to_metric_families(exposition) for sample in family.samples}


APPLICATION = names_in(webapp.exposition(lambda: {"done": 1}).decode())
GPU = {"vemseg_gpu_utilization_ratio", "vemseg_gpu_memory_used_bytes", "vemseg_gpu_memory_size_bytes"}
LONGER = {"training": {"steps": 60}, "inference": {"shard_zyx": [2, 32, 16]}, "evaluation": {"figure_slices": []}}

needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool")
needs_prometheus = pytest.mark.skipif(not shutil.which("prometheus"), reason="needs prometheus")


def filled_in(expression: str) -> str:
    """An expression as Grafana sends it."""
    return re.sub(r"\$(\w+)", lambda match: VARIABLES[match[1]], expression)


def panel_expressions() -> dict[str, str]:
    """Title of each panel -> its expression."""
    return {panel["title"]: filled_in(target["expr"]) for panel in PANELS for target in panel["targets"]}


def alert_expressions() -> dict[str, str]:
    return {rule["alert"]: rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]}


def metric_names(expression: str) -> set[str]:
    """The metrics that an expression selects: words before a brace, a range or the end, that are no functions."""
    without_strings = re.sub(r'"[^"]*"', '""', expression)
    return set(re.findall(r"\b(?:vemseg|argo|kube)_\w+|\bALERTS\b|\bup\b", without_strings))


@needs_promtool
def test_the_alerts_are_rules_that_fire_for_what_they_are_meant_for() -> None:
    for words in (["check", "rules", MONITORING / "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]):
        checked = subprocess.run(["promtool", *words], cwd=Path(__file__).parent, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_has_a_test_a_severity_and_says_what_to_do() -> None:
    tests = (Path(__file__).parent / "alerts_test.yaml").read_text()
    for rule in (rule for group in ALERTS["groups"] for rule in group["rules"]):
        assert f'alertname="{rule["alert"]}"' in tests
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}


@needs_promtool
def test_every_expression_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{index}", "expr": e} for index, e in enumerate(panel_expressions().values())]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    checked = subprocess.run(["promtool", "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_expressions_speak_of_metrics_that_there_are(finished: Run) -> None:
    told = {name for path in (place(finished) / "metrics").iterdir() for name in names_in(path.read_text())}
    for name, expression in (panel_expressions() | alert_expressions()).items():
        assert metric_names(expression) <= told | APPLICATION | FOREIGN | GPU, name


def test_the_panels_are_whole_and_lie_beside_each_other() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    covered: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        columns = range(at["x"], at["x"] + at["w"])
        cells = {(x, y) for x in columns for y in range(at["y"], at["y"] + at["h"])}
        assert columns.stop <= 24
        assert not cells & covered, panel["title"]
        covered |= cells
    for panel in PANELS:
        assert panel["description"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = {word for panel in PANELS for t in panel["targets"] for word in re.findall(r"\$(\w+)", t["expr"])}
    assert used - set(VARIABLES) == set()
    assert {"datasource"} | (used - {"__rate_interval", "__range"}) == variables


class Prometheus:
    """A server that scrapes one address ten times a second, and holds the alerts."""

    def __init__(self, folder: Path, port: int, scraped_port: int) -> None:
        scrape = {"job_name": "lab/vemseg", "static_configs": [{"targets": [f"127.0.0.1:{scraped_port}"]}]}
        config = {
            "global": {"scrape_interval": "100ms", "evaluation_interval": "1s"},
            "rule_files": [str(MONITORING / "alerts.yaml")],
            "scrape_configs": [scrape],
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        self._url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stderr=subprocess.DEVNULL,
        )

    def ask(self, path: str, **arguments: Any) -> Any:
        with urlopen(f"{self._url}/api/v1/{path}?{urlencode(arguments)}", timeout=30) as answer:
            content = json.load(answer)
        assert content["status"] == "success", content
        return content["data"]

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


@pytest.mark.slow
@needs_prometheus
def test_a_real_prometheus_answers_every_expression(
    tmp_path: Path, free_port: int, scraped_port: int, wait_for: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expressions are asked for the whole study: a panel shows a range, and steps come one after another.

    The storage is slow, so that each step of the tiny study is there for several scrapes.
    """
    read = Volume.read

    def slow_read(volume: Volume, block: Block) -> Any:
        time.sleep(0.2)
        return read(volume, block)

    monkeypatch.setattr(Volume, "read", slow_read)
    prometheus = Prometheus(tmp_path, free_port, scraped_port)
    try:
        wait_for(lambda: prometheus.ask("status/runtimeinfo"))
        monkeypatch.setenv(PORT_VARIABLE, str(scraped_port))
        started = time.time()
        run = run_chain(write_study(tmp_path / "study", LONGER), tmp_path / "run")
        span = {"start": started, "end": time.time(), "step": 0.25}
        answers = {
            name: prometheus.ask("query_range", query=expression, **span)["result"]
            for name, expression in (panel_expressions() | alert_expressions()).items()
        }
        rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
        voxels = {
            step: prometheus.ask("query", query=f'max_over_time(vemseg_voxels_total{{step="{step}"}}[1h])')["result"]
            for step in ("train", "infer", "evaluate")
        }
    finally:
        prometheus.stop()
    silent = {name for name, result in answers.items() if not result}
    foreign = {
        name
        for name, expression in (panel_expressions() | alert_expressions()).items()
        if metric_names(expression) & (APPLICATION | FOREIGN | GPU)
    }
    assert silent <= foreign | set(alert_expressions())
    assert {rule["name"] for rule in rules if rule["health"] == "ok"} == set(alert_expressions())
    for step, series in voxels.items():
        (path,) = (place(run) / "metrics").glob(f"{step}*.prom")
        (kept,) = re.findall(r"^vemseg_voxels_total\{.*\} (\S+)$", path.read_text(), re.MULTILINE)
        assert 0 < max(float(one["value"][1]) for one in series) <= float(kept), step
