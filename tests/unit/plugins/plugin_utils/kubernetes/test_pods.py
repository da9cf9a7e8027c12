# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Pods, what keeps them running and how they are reached, service by service."""

from __future__ import annotations

import base64

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.entry_paths import MODEL_PATHS
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import objects, workloads
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import KubernetesError
from clusters import ALL_INSIDE, ENTRY, SITE, by_kind, rendered, target


def workload(name, to=None, **changes):
    found = rendered(name, to or target(), **changes)
    return found.get("Deployment") or found["StatefulSet"]


def pod(name, to=None, **changes):
    return workload(name, to, **changes)["spec"]["template"]["spec"]


def container(name, to=None, **changes):
    return pod(name, to, **changes)["containers"][0]


def mounted(name, to=None, **changes):
    """Return the volumes of a service by the path where they are mounted."""
    found = pod(name, to, **changes)
    volumes = {volume["name"]: volume for volume in found.get("volumes", [])}
    mounts = found["containers"][0].get("volumeMounts", [])
    return {m["mountPath"]: {**volumes.get(m["name"], {}), **m} for m in mounts}


@pytest.mark.parametrize("name", ["gateway", "litellm", "tool-browser", "tool-example"])
def test_what_keeps_nothing_is_replaced_without_a_gap(name):
    found = workload(name)
    assert found["kind"] == "Deployment"
    assert found["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


@pytest.mark.parametrize("name", ["postgres", "redis", "ollama"])
def test_what_keeps_something_is_never_twice_on_one_volume(name):
    found = workload(name)
    assert found["kind"] == "StatefulSet"
    retention = found["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert {*retention.values()} == {"Retain"}


def test_a_volume_is_where_the_site_says():
    (claim,) = workload("postgres")["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "data"
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "20Gi"}},
    }
    assert mounted("redis")["/data"]["persistentVolumeClaim"] == {"claimName": "redis-data"}
    assert mounted("gateway")["/audit"]["emptyDir"] == {"sizeLimit": "2Gi"}


@pytest.mark.parametrize("said", [{}, {"size": "1Gi", "scratch": "1Gi"}, {"access": "x"}])
def test_a_volume_is_in_one_place(said):
    with pytest.raises(KubernetesError, match=r"one of size .*, scratch .* and claim"):
        pod("gateway", target(said={"volumes": {"gateway": {"audit": said}}}))


def test_replicas_never_share_a_claim():
    said = {"volumes": {"gateway": {"audit": {"claim": "audit"}}}}
    with pytest.raises(KubernetesError, match="names one claim for 6 replicas"):
        pod("gateway", target(said=said))


def test_a_directory_of_a_host_is_a_claim_that_stands_for_it():
    found = mounted("tool-browser")["/workspace"]
    assert found["persistentVolumeClaim"] == {"claimName": "workspace", "readOnly": True}
    writable = mounted("tool-browser", binds=["/srv/workspace:/workspace:rw"])["/workspace"]
    assert writable["persistentVolumeClaim"] == {"claimName": "workspace"}
    assert "readOnly" not in writable


def test_memory_is_bounded_as_the_definition_says():
    found = mounted("postgres")
    assert found["/var/run/postgresql"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Mi"}
    assert found["/tmp"]["emptyDir"] == {"medium": "Memory"}
    assert found["/dev/shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "128Mi"}
    assert "/tmp" in mounted("redis")  # what a container has unless its definition says others
    assert mounted("redis", tmpfs=[]).keys() == {"/secrets", "/data"}


@pytest.mark.parametrize(("size", "mebibytes"), [("1g", "1024Mi"), ("1", "1Mi"), ("1500K", "2Mi")])
def test_sizes_are_rounded_up(size, mebibytes):
    found = mounted("redis", tmpfs=[f"/x:size={size}"])["/x"]
    assert found["emptyDir"]["sizeLimit"] == mebibytes


def test_files_and_secrets_are_whole_directories_so_that_changes_arrive():
    found = mounted("gateway")
    (source,) = found["/config"]["projected"]["sources"]
    assert source["configMap"]["name"] == "gateway-live"
    items = found["/secrets"]["secret"]["items"]
    assert [item["path"] for item in items] == ["monitoring_key", "session_key"]
    assert not [mount for mount in found.values() if "subPath" in mount]
    # Those of the environment are no files.
    assert "/secrets" not in mounted("litellm")


def test_a_value_stays_as_it_is():
    env = {v["name"]: v.get("value") for v in container("litellm")["env"]}
    assert env["SAID"] == "$$(HOME) as it is"
    assert container("litellm", command=["echo", "$(date)"])["args"] == ["echo", "$$(date)"]


def test_the_catalogs_paths_decide_on_requests_and_restarts():
    found = container("litellm")
    assert found["readinessProbe"]["httpGet"]["path"] == "/health/readiness"
    assert found["livenessProbe"]["httpGet"]["path"] == "/health/liveliness"
    assert (
        found["livenessProbe"]["periodSeconds"] * found["livenessProbe"]["failureThreshold"] == 60
    )
    # What a container on a host has until it counts as unhealthy: 180 s and 6 times 10 s.
    startup = found["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 240
    assert startup["httpGet"] == found["livenessProbe"]["httpGet"]


@pytest.mark.parametrize("name", ["gateway", "litellm"])
def test_what_all_pods_share_may_be_away_for_a_minute(name):
    """A Service has nobody else to send requests to."""
    ready, alive = (container(name)[f"{kind}Probe"] for kind in ("readiness", "liveness"))
    bounds = [probe["periodSeconds"] * probe["failureThreshold"] for probe in (ready, alive)]
    assert bounds == [60, 60]


@pytest.mark.parametrize("name", ["postgres", "redis", "tool-example"])
def test_a_command_decides_on_requests_and_never_restarts(name):
    """A database that recovers for an hour does not answer either."""
    found = container(name)
    assert found["readinessProbe"]["exec"]["command"]
    assert not {"livenessProbe", "startupProbe"} & {*found}


@pytest.mark.parametrize(("name", "stop", "drain"), [("litellm", 60, 10), ("tool-example", 10, 10)])
def test_a_pod_goes_on_until_everybody_has_heard_of_it(name, stop, drain):
    assert container(name)["lifecycle"] == {"preStop": {"sleep": {"seconds": drain}}}
    assert pod(name)["terminationGracePeriodSeconds"] == stop + drain


def test_where_nobody_takes_over_a_pod_stops_at_once():
    assert "lifecycle" not in container("postgres")
    assert pod("postgres")["terminationGracePeriodSeconds"] == 60
    to = target(said={"drain_seconds": 0})
    assert "lifecycle" not in container("litellm", to)


def test_replicas_are_kept_apart_and_drained_one_at_a_time():
    found = rendered("litellm", target())
    assert found["Deployment"]["spec"]["replicas"] == 2
    spread = pod("litellm")["topologySpreadConstraints"]
    assert [one["topologyKey"] for one in spread] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]
    assert pod("litellm")["affinity"]["podAntiAffinity"]
    assert found["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    alone = rendered("tool-example", target())
    assert "PodDisruptionBudget" not in alone  # its node could never be drained
    assert "affinity" not in alone["Deployment"]["spec"]["template"]["spec"]


def test_an_autoscaler_has_the_number_of_replicas_to_itself():
    found = rendered("gateway", target())
    assert "replicas" not in found["Deployment"]["spec"]
    spec = found["HorizontalPodAutoscaler"]["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 6)
    assert spec["scaleTargetRef"]["kind"] == "Deployment"
    assert [metric["type"] for metric in spec["metrics"]] == ["Resource", "Pods"]


def test_during_a_rollout_there_is_one_pod_more():
    assert len(workloads.most_pods([{"litellm": 2}, {"litellm": {"max": 4}}], "litellm")) == 5
    assert len(workloads.most_pods([{"litellm": 2}, {}], "litellm")) == 3
    assert len(workloads.most_pods([{}, {}], "litellm")) == 2


def test_the_cluster_may_choose_the_users_of_pods():
    assert pod("postgres")["securityContext"]["runAsUser"] == 999
    free = pod("postgres", target(said={"random_uids": True}))["securityContext"]
    assert free == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_gpus_are_a_resource_of_the_node_or_a_device():
    assert container("ollama")["resources"]["limits"]["nvidia.com/gpu"] == "1"
    to = target(said={"gpu": {"device_class": "gpu.nvidia.com", "count": 2}})
    found = rendered("ollama", to)
    claims = pod("ollama", to)["resourceClaims"]
    assert claims == [{"name": "gpu", "resourceClaimTemplateName": "ollama-gpu"}]
    (request,) = found["ResourceClaimTemplate"]["spec"]["spec"]["devices"]["requests"]
    assert request["exactly"] == {"deviceClassName": "gpu.nvidia.com", "count": 2}
    assert container("ollama", to)["resources"]["claims"] == [{"name": "gpu"}]
    assert "nvidia.com/gpu" not in container("ollama", gpus=False)["resources"]["limits"]


def test_names_of_one_address_are_one_entry():
    found = pod("redis", extra_hosts={"b": "192.0.2.1", "a": "192.0.2.1", "c": "192.0.2.2"})
    assert found["hostAliases"] == [
        {"ip": "192.0.2.1", "hostnames": ["a", "b"]},
        {"ip": "192.0.2.2", "hostnames": ["c"]},
    ]


def test_images_are_where_nodes_pull_them():
    to = target(images={"redis": "registry.example.internal/redis:8.0@sha256:abc"})
    assert container("redis", to)["image"] == "registry.example.internal/redis:8.0@sha256:abc"


def test_a_service_has_the_catalogs_port_and_leads_to_the_containers():
    (port,) = rendered("tool-browser", target())["Service"]["spec"]["ports"]
    assert port == {"name": "tcp-8000", "port": 8103, "targetPort": "tcp-8000"}
    assert str(target().topology.endpoint("tool-browser", "cluster")) == "tool-browser:8103"


def test_pods_that_talk_to_each_other_have_a_name_for_all_and_know_their_own_address():
    to = target()
    _own, peers = rendered("gateway", to)["Service"]
    assert peers["metadata"]["name"] == "gateway-peers"
    assert peers["spec"]["clusterIP"] == "None" and peers["spec"]["publishNotReadyAddresses"]
    (port,) = peers["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (8080, "http-8080")
    assert str(to.topology.peer_endpoint("gateway", "cluster")) == "gateway-peers:8080"
    env = {variable["name"]: variable for variable in container("gateway", to)["env"]}
    assert env["POD_IP"]["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    # Pods are monitored once.
    (monitored,) = rendered("gateway", to)["ServiceMonitor"]["spec"]["endpoints"]
    assert monitored["port"] != port["name"]
    assert "env" not in container("redis") and isinstance(rendered("redis", to)["Service"], dict)


def entry(said=None, **changes):
    return by_kind(objects.of_platform(target(said=said), {**ENTRY, **changes}))


def test_an_ingress_leads_to_the_paths_that_a_balancer_would_serve():
    spec = entry()["Ingress"]["spec"]
    (rule,) = spec["rules"]
    assert rule["host"] == "llm.example.internal"
    leads = {
        (p["path"], p["pathType"]): p["backend"]["service"]["name"] for p in rule["http"]["paths"]
    }
    assert leads["/", "Exact"] == leads["/mcp", "Prefix"] == "gateway"
    assert {p for (p, kind), to in leads.items() if to == "litellm"} == {*MODEL_PATHS}
    # Keys, teams, metrics and the UI are nobody's business but the operators'.
    prefixes = [p for p, kind in leads if kind == "Prefix"]
    for path in ("/metrics", "/key/generate", "/team/new", "/ui", "/health"):
        assert not [p for p in prefixes if path == p or path.startswith(f"{p}/")]
        assert (path, "Exact") not in leads
    assert spec["tls"] == [{"hosts": ["llm.example.internal"]}]
    said = {"ingress": {**SITE["ingress"], "tls_secret": "llm-tls", "annotations": {"a/b": "c"}}}
    found = entry(said)["Ingress"]
    assert found["spec"]["tls"][0]["secretName"] == "llm-tls"
    assert found["metadata"]["annotations"] == {"a/b": "c"}
    assert "tls" not in entry(tls=False)["Ingress"]["spec"]


def test_an_ingress_has_the_page_for_people_where_there_is_one():
    with_portal = target({**ALL_INSIDE, "portal": ALL_INSIDE["gateway"]})
    (rule,) = by_kind(objects.of_platform(with_portal, ENTRY))["Ingress"]["spec"]["rules"]
    to_portal = [
        (p["path"], p["pathType"])
        for p in rule["http"]["paths"]
        if p["backend"]["service"]["name"] == "portal"
    ]
    assert to_portal == [("/portal", "Exact"), ("/portal", "Prefix")]
    registering = {**ENTRY, "has_registration": True}
    ingress = by_kind(objects.of_platform(with_portal, registering))["Ingress"]
    assert "/.well-known/oauth-authorization-server/portal" in str(ingress)
    assert "portal" not in str(entry()["Ingress"])


def test_a_route_leads_where_an_ingress_does():
    said = {"ingress": {"kind": "http_route", "parent": {"name": "public"}, "namespace": "x"}}
    spec = entry(said)["HTTPRoute"]["spec"]
    assert spec["parentRefs"] == [{"name": "public"}]
    of_route = [
        (m["path"]["value"], rule["backendRefs"][0]["name"])
        for rule in spec["rules"]
        for m in rule["matches"]
    ]
    of_ingress = [
        (p["path"], p["backend"]["service"]["name"])
        for p in entry()["Ingress"]["spec"]["rules"][0]["http"]["paths"]
    ]
    assert of_route == of_ingress
    with pytest.raises(KubernetesError, match=r"kubernetes_ingress\.parent names no Gateway"):
        entry({"ingress": {"kind": "http_route", "namespace": "x"}})


PEM = {"certificate": "a chain\n", "key": "not-told"}


def test_the_certificate_of_the_site_is_shown_by_the_entry():
    to = target(with_secrets=True)
    found = by_kind(objects.of_platform(to, {**ENTRY, **PEM}))
    assert found["Secret"]["type"] == "kubernetes.io/tls"
    said = {key: base64.b64decode(value) for key, value in found["Secret"]["data"].items()}
    assert said == {"tls.crt": b"a chain\n", "tls.key": b"not-told"}
    (tls,) = found["Ingress"]["spec"]["tls"]
    assert tls["secretName"] == found["Secret"]["metadata"]["name"] == "entry-tls"
    assert objects.needed_by_platform(to, {**ENTRY, **PEM}) == []
    # Without TLS nobody would see it; a Gateway has one of its own.
    route = {"ingress": {"kind": "http_route", "parent": {"name": "public"}, "namespace": "x"}}
    for other, settings in ((to, {"tls": False}), (target(said=route, with_secrets=True), {})):
        assert "Secret" not in by_kind(objects.of_platform(other, {**ENTRY, **PEM, **settings}))


@pytest.mark.parametrize(("secret", "name"), [({}, "entry-tls"), ({"tls_secret": "own"}, "own")])
def test_a_certificate_that_is_no_object_is_needed(secret, name):
    to = target(said={"ingress": {**SITE["ingress"], **secret}})
    assert "Secret" not in by_kind(objects.of_platform(to, {**ENTRY, **PEM}))
    assert objects.needed_by_platform(to, {**ENTRY, **PEM}) == [
        {"service": "platform", "name": name, "keys": ["tls.crt", "tls.key"]}
    ]


TOLD = {
    "traefik": {},
    "haproxy": {"haproxy.org/timeout-server": "600s"},
    "haproxy_ingress": {"haproxy-ingress.github.io/timeout-server": "600s"},
}


@pytest.mark.parametrize("controller", TOLD)
def test_a_model_may_be_silent_as_long_as_behind_a_balancer(controller):
    said = {**SITE["ingress"], "controller": controller}
    found = entry({"ingress": said})["Ingress"]["metadata"]
    assert found.get("annotations", {}) == TOLD[controller]
    own = dict.fromkeys(TOLD[controller], "2h")
    found = entry({"ingress": {**said, "annotations": own}})["Ingress"]["metadata"]
    assert found.get("annotations", {}) == own


def test_no_bound_of_a_gateway_ends_a_stream():
    route = {"ingress": {"kind": "http_route", "parent": {"name": "public"}, "namespace": "x"}}
    for rule in entry(route)["HTTPRoute"]["spec"]["rules"]:
        assert rule["timeouts"] == {"request": "0s"}


def test_an_entry_needs_a_name_and_knows_no_operators():
    with pytest.raises(KubernetesError, match="platform_public_name is empty"):
        entry(public_name="")
    with pytest.raises(KubernetesError, match="platform_operators_networks has 192"):
        entry(operators=["192.0.2.0/24"])
    assert "Ingress" not in entry({"ingress": {"kind": "none"}}, public_name="")


def test_numbers_are_found_by_a_monitor_or_by_annotations():
    (endpoint,) = rendered("gateway", target())["ServiceMonitor"]["spec"]["endpoints"]
    assert endpoint["port"] == "http-8080"
    credentials = {"name": "gateway-metrics", "key": "gateway_monitoring_key"}
    assert endpoint["authorization"] == {"credentials": credentials}
    (endpoint,) = rendered("litellm", target())["ServiceMonitor"]["spec"]["endpoints"]
    credentials = {"name": "litellm-metrics", "key": "key-prometheus"}
    assert endpoint["authorization"] == {"credentials": credentials}
    with pytest.raises(KubernetesError, match="cannot tell its numbers by annotations"):
        rendered("gateway", target(said={"metrics": {"kind": "annotations", "namespace": "x"}}))
    quiet = target(ALL_INSIDE, said={"metrics": {"kind": "none"}})
    assert "ServiceMonitor" not in rendered("gateway", quiet)
