# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whom Prometheus asks follows from the catalog, and what it asks may be asked."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import TopologyError
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import targets
from platforms import CLUSTERS, LIGHT, SPREAD, topology

WATCHED = {"monitoring": ["one"]}
APART = {"monitoring": ["watch"]}


def jobs(groups, host="watch", **settings):
    site = topology(groups, container_prefix="net-", **settings)
    return {job["name"]: job for job in targets.jobs(site, host)}


def test_on_one_host_each_container_is_asked_by_its_name():
    found = jobs({**LIGHT, **WATCHED}, "one")
    assert list(found) == [
        *("postgres", "redis", "ollama", "ollama ready", "litellm", "litellm ready"),
        *("gateway", "gateway ready"),
        *("postgres_exporter", "redis_exporter", "blackbox_exporter", "node_exporter"),
        *("log_collector_metrics", "log_shipper", "alertmanager", "prometheus"),
    ]
    assert found["gateway"]["targets"] == [{"host": "one", "address": "net-gateway:8080"}]
    assert found["gateway"]["secret"] == "gateway_monitoring_key"
    assert found["litellm"]["secret"] == "key-prometheus", "a key that LiteLLM knows"
    assert found["redis"]["exporter"] == {
        "service": "redis_exporter",
        "address": "net-redis_exporter:9121",
    }


def test_every_replica_on_other_hosts_is_asked_by_its_address_and_not_through_the_balancer():
    found = jobs({**SPREAD, **APART})
    assert [t["host"] for t in found["gateway"]["targets"]] == ["app1", "app2"]
    assert [t["address"] for t in found["litellm ready"]["targets"]] == [
        "192.0.2.1:4000",
        "192.0.2.2:4000",
    ]
    assert found["litellm ready"]["path"] == "/health/readiness"


def test_a_further_port_is_asked_at_the_container_it_belongs_to():
    found = jobs({**SPREAD, "monitoring": ["lb"]}, "lb")
    (target,) = found["load_balancer_metrics"]["targets"]
    assert target == {"host": "lb", "address": "net-load_balancer:8404"}


def test_the_balancers_certificate_is_seen_where_there_is_one():
    assert jobs({**SPREAD, **APART}, tls=True)["load_balancer ready"]["scheme"] == "https"
    assert jobs({**SPREAD, **APART}, tls=False)["load_balancer ready"]["scheme"] == "http"


def test_every_host_tells_of_itself_and_to_the_monitoring_alone():
    found = jobs({**SPREAD, **APART})
    addresses = {t["host"]: t["address"] for t in found["node_exporter"]["targets"]}
    assert {*addresses} == {"app1", "app2", "data", "lb", "watch"}
    assert addresses["watch"] == "net-node_exporter:9100"
    site = topology({**SPREAD, **APART})
    (flow,) = [flow for flow in site.flows("app2") if flow.service == "node_exporter"]
    assert flow.sources == (f"{site.address('watch')}/32",)


def test_gpus_are_read_on_the_hosts_that_have_the_exporter():
    found = jobs({**SPREAD, **APART, "dcgm_exporter": ["app2"]})
    (target,) = found["dcgm_exporter"]["targets"]
    assert target == {"host": "app2", "address": "192.0.2.2:9400"}
    assert "dcgm_exporter" not in jobs({**SPREAD, **APART})


def test_every_host_tells_what_of_its_logs_waits():
    found = jobs({**SPREAD, **APART})
    assert {t["host"] for t in found["log_shipper"]["targets"]} == {
        *("app1", "app2", "data", "lb", "watch"),
    }
    (collector,) = found["log_collector_metrics"]["targets"]
    assert collector == {"host": "watch", "address": "net-log_collector:6516"}
    assert found["log_collector_metrics"]["container"] == "log_collector"


def test_members_of_a_cluster_are_asked_one_by_one():
    found = jobs({**CLUSTERS, **APART})
    for name in ("postgres", "redis", "patroni"):
        assert [t["host"] for t in found[name]["targets"]] == ["app1", "app2", "data"]


@pytest.mark.parametrize("groups", [LIGHT, SPREAD, CLUSTERS])
def test_whatever_is_asked_lets_the_monitorings_host_in(groups):
    site = topology({**groups, **APART})
    (watcher,) = site.addresses["watch"]
    for job in targets.jobs(site, "watch"):
        for target in job["targets"]:
            sources = [f.sources for f in site.flows(target["host"]) if f.service == job["service"]]
            assert target["host"] == "watch" or f"{watcher}/32" in sources[0], job["name"]


def test_nobody_but_its_operator_reaches_the_monitoring():
    site = topology({**SPREAD, **APART})
    services = [flow.service for flow in site.flows("watch")]
    assert services == ["log_collector"]
    published = {name: site.publish(name, "watch") for name in ("prometheus", "redis_exporter")}
    assert published == {"prometheus": ["127.0.0.1"], "redis_exporter": []}


def test_a_service_that_does_not_let_the_monitoring_in_is_one_clear_message():
    site = topology({**LIGHT, **WATCHED})
    site.services["gateway"] = dataclasses.replace(site.services["gateway"], clients=("users",))
    with pytest.raises(TopologyError, match="expected 'monitoring' among its clients: add it"):
        targets.jobs(site, "one")
