"""The application: off unless asked for, one pod without a GPU, set and reached as the values say."""

from __future__ import annotations

from pathlib import Path

import pytest
from charts_support import Manifest, needs_helm, pick, refusal, render

from pipeline.webapp.settings import Settings

pytestmark = needs_helm
ON = ("--set", "web.enabled=true", "--set", "web.models={/data/runs/first}")
INGRESS = (*ON, "--set", "web.ingress.enabled=true", "--set", "web.ingress.host=vemseg.example.org")
ROUTE = (*ON, "--set", "web.route.enabled=true", "--set", "web.route.host=vemseg.example.org")
GATEWAY = ("--set", "web.route.gateway=public")


def pod(*options: str) -> Manifest:
    """The application's PodSpec."""
    spec: Manifest = pick(render(*ON, *options), "Deployment", "vemseg-web")["spec"]["template"]["spec"]
    return spec


def settings(*options: str) -> Settings:
    """What the application makes of the variables that its container is given."""
    (container,) = pod(*options)["containers"]
    return Settings.of({each["name"]: each["value"] for each in container["env"]})


def test_without_being_asked_for_there_is_no_application() -> None:
    kinds = {each["kind"] for each in render()}
    assert not kinds & {"Deployment", "Service", "Ingress", "HTTPRoute", "ServiceMonitor"}


def test_it_keeps_its_jobs_on_the_claim_where_the_workflows_pods_see_them() -> None:
    (container,) = pod()["containers"]
    assert settings().executor == "cluster"
    assert settings().data == Path("/data/app")
    assert {"name": "data", "mountPath": "/data"} in container["volumeMounts"]
    claims = [volume.get("persistentVolumeClaim") for volume in pod()["volumes"] if volume["name"] == "data"]
    assert claims == [{"claimName": "vemseg-data"}]


def test_its_settings_are_the_charts_values() -> None:
    given = settings(
        *("--set", "web.models={/data/runs/a,s3://lab/runs/b}"),
        *("--set", "web.folders={/data/inbox}"),
        *("--set", "web.jobsAtOnce=7"),
        *("--set-json", "web.retentionDays=2.5"),
        *("--set", "web.uploadBytes=1099511627776"),
        *("--set", "web.quotaBytes=10995116277760"),
        *("--set", "web.ownerQuotaBytes=1099511627777"),
    )
    assert given.models == ("/data/runs/a", "s3://lab/runs/b")
    assert given.folders == ("/data/inbox",)
    assert (given.jobs_at_once, given.retention_days) == (7, 2.5)
    assert (given.upload_bytes, given.quota_bytes) == (2**40, 10 * 2**40)
    assert given.owner_quota_bytes == 2**40 + 1
    assert given.user_header is None


def test_two_of_it_never_work_on_one_folder() -> None:
    spec = pick(render(*ON), "Deployment", "vemseg-web")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_it_holds_no_gpu_and_stays_where_the_claim_is() -> None:
    assert "nvidia.com/gpu" not in str(pod())
    pinned = pod("--set", "storage.mode=rwo", "--set", "storage.node=gpu-7")
    assert pinned["nodeSelector"] == {"kubernetes.io/hostname": "gpu-7"}


@pytest.mark.parametrize("base", ["", "/segment"])
def test_probes_and_paths_follow_the_base_path(base: str) -> None:
    options = (*INGRESS, "--set", f"web.basePath={base}")
    (container,) = pod(*options)["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": f"{base}/healthz", "port": "http"}
    (rule,) = pick(render(*options), "Ingress")["spec"]["rules"]
    assert [path["path"] for path in rule["http"]["paths"]] == [base or "/"]
    assert settings(*options).base_path == base


def test_the_service_leads_to_its_pod() -> None:
    objects = render(*ON)
    service, deployment = pick(objects, "Service")["spec"], pick(objects, "Deployment")["spec"]
    assert service["selector"] == deployment["template"]["metadata"]["labels"]
    ports = {port["name"] for port in deployment["template"]["spec"]["containers"][0]["ports"]}
    assert service["ports"][0]["targetPort"] in ports


def test_an_ingress_has_a_host_and_tls() -> None:
    spec = pick(render(*INGRESS, "--set", "web.ingress.className=haproxy"), "Ingress")["spec"]
    assert spec["ingressClassName"] == "haproxy"
    assert spec["tls"] == [{"hosts": ["vemseg.example.org"]}]
    assert "web.ingress.host" in refusal(*ON, "--set", "web.ingress.enabled=true")


def test_a_route_has_a_gateway() -> None:
    spec = pick(render(*ROUTE, *GATEWAY, "--set", "web.route.gatewayNamespace=edge"), "HTTPRoute")["spec"]
    assert spec["parentRefs"] == [{"name": "public", "namespace": "edge"}]
    assert spec["hostnames"] == ["vemseg.example.org"]
    assert "web.route.gateway" in refusal(*ROUTE)


def test_a_header_that_names_users_needs_a_proxy_that_nobody_gets_past() -> None:
    header = ("--set", "web.userHeader=X-Forwarded-User")
    assert "networkPolicy.proxyNamespace" in refusal(*ON, *header)
    proxy = (*header, "--set", "networkPolicy.proxyNamespace=edge")
    assert "networkPolicy.enabled" in refusal(*ON, *proxy, "--set", "networkPolicy.enabled=false")
    assert settings(*proxy).user_header == "X-Forwarded-User"
    pages, metrics = pick(render(*ON, *proxy), "NetworkPolicy", "vemseg-web")["spec"]["ingress"]
    named = [each.get("namespaceSelector", {}).get("matchLabels", {}) for each in pages["from"]]
    assert [labels.get("kubernetes.io/metadata.name") for labels in named] == ["edge", None]
    assert pages["from"][1]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "test"
    assert [each["port"] for each in pages["ports"]] == [8501]
    (scrapers,) = metrics["from"]
    assert scrapers == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert [each["port"] for each in metrics["ports"]] == [settings().metrics_port]


def test_the_policy_is_that_of_its_pod() -> None:
    objects = render(*ON)
    policy = pick(objects, "NetworkPolicy", "vemseg-web")["spec"]
    assert policy["podSelector"]["matchLabels"] == pick(objects, "Service")["spec"]["selector"]


def test_models_must_be_named() -> None:
    assert "web.models" in refusal("--set", "web.enabled=true")


def test_object_storage_alone_is_refused() -> None:
    assert "storage.mode" in refusal(*ON, "--set", "storage.mode=s3")


@pytest.mark.parametrize("image", ["vemseg-web", "registry.example.org/vemseg-web:latest"])
def test_an_image_without_a_version_is_refused(image: str) -> None:
    assert "web.image" in refusal(*ON, "--set", f"web.image={image}")


def test_prometheus_finds_its_metrics() -> None:
    monitored = ("--set", "monitoring.serviceMonitor.enabled=true", "--set", "web.basePath=/segment")
    objects = render(*ON, *monitored)
    spec, service = pick(objects, "ServiceMonitor")["spec"], pick(objects, "Service")
    assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = spec["endpoints"]
    (port,) = (each for each in service["spec"]["ports"] if each["name"] == endpoint["port"])
    (container,) = pod()["containers"]
    assert {each["name"]: each["containerPort"] for each in container["ports"]}[port["targetPort"]] == (
        settings().metrics_port
    )
    assert "path" not in endpoint


def test_pages_answer_to_the_names_that_lead_to_them() -> None:
    inside = ("vemseg-web",)
    assert settings().allowed_hosts == inside
    assert settings(*INGRESS).allowed_hosts == (*inside, "vemseg.example.org")
    assert settings(*ROUTE, *GATEWAY).allowed_hosts == (*inside, "vemseg.example.org")
    given = settings("--set", "web.allowedHosts={lab.example.org}", "--set", "web.trustedProxies={10.0.0.0/8}")
    assert (given.allowed_hosts[-1], given.trusted_proxies) == ("lab.example.org", ("10.0.0.0/8",))


def test_helm_test_asks_it_how_it_is() -> None:
    def asked(*options: str) -> list[str]:
        (container,) = pick(render(*options), "Pod", "vemseg-test")["spec"]["containers"]
        return [each["value"] for each in container["env"] if each["name"] == "APPLICATION"]

    assert asked() == []
    assert asked(*ON, "--set", "web.basePath=/segment") == ["http://vemseg-web/segment/healthz"]
